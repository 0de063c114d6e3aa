"""Arguments that are looked at before any formula is, and what is said of them."""

import dataclasses
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors, nn
from metaspec.backend import registry
from metaspec.backend import selection as choice
from metaspec.backend.trace_cache import MOST, TraceCache

INNER = ms.GradientDescent(0.1, 1)
W = {"w": np.ones(2)}


def loss(params: Any, batch: Any) -> Any:
    return ((params["w"] - batch) ** 2).sum()


@pytest.mark.parametrize("where", ["support", "query"])
def test_a_batch_holds_arrays_and_numbers_alone(where: str) -> None:
    task = ms.Task(np.ones(2), np.ones(2))._replace(**{where: {"x": np.ones(2), "name": "seven"}})
    for call in (ms.meta_gradient, ms.batch_meta_gradient):
        with pytest.raises(errors.InvalidTypeError, match=rf"task\.{where}\['name'\]: .* got 'seven' of type str"):
            call(ms.MAML(INNER), loss, W, task)
    with pytest.raises(errors.InvalidTypeError, match=r"support\['name'\]"):
        ms.adapt(ms.MAML(INNER), loss, W, {"name": "seven"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ms.DenseSolve(max_size=0), "DenseSolve: max_size must be >= 1, got 0"),
        (lambda: ms.DenseSolve(max_size=1.5), "DenseSolve: max_size must be an integer >= 1"),
        (lambda: ms.DenseSolve(damping=-1e-9), "DenseSolve: damping must be"),
        (lambda: ms.ConjugateGradient(steps=0), "ConjugateGradient: steps must be >= 1, got 0"),
        (lambda: ms.GradientDescent(1j, 1), "lr must be a number, a tree"),
    ],
)  # fmt: skip
def test_solvers_and_optimisers_check_their_numbers(make: Any, message: str) -> None:
    with pytest.raises((errors.InvalidArgumentError, errors.InvalidTypeError), match=message):
        make()


def test_what_a_solver_does_unless_told_otherwise() -> None:
    assert ms.ConjugateGradient() == ms.ConjugateGradient(steps=10, tol=None, damping=0.0)
    assert ms.DenseSolve().damping == 0.0


def test_the_least_that_is_allowed() -> None:
    assert ms.DenseSolve(max_size=1, damping=0).max_size == 1
    assert ms.ConjugateGradient(steps=1, damping=0).steps == 1
    assert ms.GradientDescent(0, 0).lr == 0.0
    assert type(ms.GradientDescent(np.float32(0.5), np.int64(3)).steps) is int
    assert type(ms.GradientDescent(np.float32(0.5), 3).lr) is float
    assert type(ms.IMAML(INNER, np.float32(2.0)).regularization) is float
    assert type(ms.ConjugateGradient(np.int64(2), np.float32(0.5), np.float64(0.5)).steps) is int
    solver = ms.ConjugateGradient(2, np.float32(0.5), np.float64(0.5))
    assert (type(solver.tol), type(solver.damping), type(ms.DenseSolve(np.float64(1.0)).damping)) == (float,) * 3
    algo = ms.IMAML(INNER, 1.0, ms.DenseSolve(max_size=2))
    assert ms.meta_gradient(algo, loss, W, ms.Task(np.ones(2), np.zeros(2))).delta["w"].shape == (2,)


def test_dense_solve_of_no_unknowns() -> None:
    algo = ms.IMAML(INNER, 1.0, ms.DenseSolve())
    r = ms.meta_gradient(
        algo, lambda p, b: p["w"].sum() + 0.0 * b.sum(), {"w": np.ones(0)}, ms.Task(np.ones(2), np.ones(2))
    )
    assert r.delta["w"].shape == (0,)


@pytest.mark.parametrize(("t", "taken"), [(0.1, 2), (0.001, 1)])
def test_steps_end_where_the_residual_is_far_below_roundoff(t: float, taken: int) -> None:
    """MS-SOLVE-1: below 0.01 eps ||b||. Of A = diag(1, 2), b = (1, t), one step leaves a residual of norm t."""
    B, b = ms.get_backend("numpy"), np.asarray([1.0, t * 2.0**-52])
    assert B.linear_solve(lambda x: np.asarray([1.0, 2.0]) * x, b, ms.ConjugateGradient(5)).steps == taken


@pytest.mark.parametrize(("t", "status"), [(1e-10, "STEP_LIMIT"), (3e-16, "STEP_LIMIT"), (1e-16, "CONVERGED")])
def test_a_fixed_number_of_steps_converges_at_roundoff(t: float, status: str) -> None:
    """MS-SOLVE-5; the system and its one step are those above."""
    B, b = ms.get_backend("numpy"), np.asarray([1.0, t])
    s = B.linear_solve(lambda x: np.asarray([1.0, 2.0]) * x, b, ms.ConjugateGradient(1))
    assert ms.SolveStatus(int(s.status)).name == status


def test_convergence_is_relative_to_the_right_hand_side() -> None:
    B, n = ms.get_backend("numpy"), 16
    b, d = np.ones(n), np.ones(n)
    b[-1], d[-1] = 2.0**-52, 2.0  # the step leaves a residual of eps, a quarter of eps ||b||
    s = B.linear_solve(lambda x: d * x, b, ms.ConjugateGradient(1))
    assert ms.SolveStatus(int(s.status)) is ms.SolveStatus.CONVERGED


def test_residual_of_a_right_hand_side_with_one_entry() -> None:
    B, b = ms.get_backend("numpy"), np.asarray([0.0, 3.0, 0.0])
    A = np.asarray([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]])
    s = B.linear_solve(lambda x: A @ x, b, ms.ConjugateGradient(1))
    assert s.residual == pytest.approx(np.linalg.norm(A @ s.x - b) / 3.0, rel=1e-12)
    assert s.residual > 0.1


def test_the_networks_of_the_papers() -> None:
    net = nn.omniglot_convnet(5)
    assert (net.filters, net.pool, net.blocks, net.channels) == (64, False, 4, 1)
    assert nn.ConvNet(5) == net
    assert nn.sinusoid_mlp().sizes == (1, 40, 40, 1)


@pytest.mark.parametrize("sizes", [[3, 3, 3], [3, 2, 3]])
def test_aux_of_a_batch_is_each_tasks_own(sizes: list[int]) -> None:
    def with_aux(params: Any, batch: Any) -> Any:
        error = params["w"].sum() - batch
        return (error**2).mean(), {"errors": error.max(), "count": len(batch), "text": None}

    tasks = [ms.Task(np.ones(3), np.arange(float(n)) + i) for i, n in enumerate(sizes)]
    r = ms.batch_meta_gradient(ms.MAML(INNER), with_aux, W, tasks, has_aux=True)
    single = [ms.meta_gradient(ms.MAML(INNER), with_aux, W, task, has_aux=True).aux for task in tasks]
    rows = (
        r.aux
        if isinstance(r.aux, list)
        else [{key: leaf[i] for key, leaf in r.aux.items() if leaf is not None} for i in range(3)]
    )
    assert isinstance(r.aux, list) == (len(set(sizes)) > 1)
    for row, alone in zip(rows, single, strict=True):
        assert (float(row["errors"]), int(row["count"])) == (float(alone["errors"]), int(alone["count"]))
    assert ms.batch_meta_gradient(ms.MAML(INNER), lambda p, b: with_aux(p, b)[0], W, tasks).aux is None


def test_dense_solve_of_a_singular_system_says_so() -> None:
    B = ms.get_backend("numpy")
    with np.errstate(all="ignore"):
        s = B.linear_solve(lambda x: 0.0 * x, np.ones(2), ms.DenseSolve())
    assert ms.SolveStatus(int(s.status)) is ms.SolveStatus.NON_FINITE
    assert int(s.steps) == 1
    assert np.isnan(s.x).all()


def test_dense_solve_reports_its_residual() -> None:
    B = ms.get_backend("numpy")
    hilbert = 1.0 / (1.0 + np.arange(12)[:, None] + np.arange(12))
    s = B.linear_solve(lambda x: hilbert @ x, np.full(12, 0.01), ms.DenseSolve())
    assert s.residual == pytest.approx(np.linalg.norm(0.01 - hilbert @ s.x) / np.sqrt(12e-4))
    assert s.residual > 0


class Foreign:
    """An array of a framework that is not at work."""


def test_arrays_of_another_framework_are_refused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for containers in (False, True):
        monkeypatch.setitem(registry._owners, (Foreign, containers), "torch")
    x, algo = Foreign(), ms.MAML(INNER)
    with pytest.raises(errors.BackendMismatchError, match="arguments.*array of 'torch'"):
        ms.compile(lambda x: x, backend="numpy")(x)
    with pytest.raises(
        errors.BackendMismatchError, match=r"^task.query: the backend is 'numpy', but .*array of 'torch'"
    ):
        ms.meta_gradient(algo, loss, W, ms.Task(np.ones(2), x))
    with pytest.raises(errors.BackendMismatchError, match="params: arrays of several frameworks in one tree"):
        ms.meta_gradient(algo, loss, [np.ones(2), x], ms.Task(np.ones(2), np.ones(2)))
    with pytest.raises(errors.LossError, match="returned an array of backend 'torch', expected"):
        ms.meta_gradient(algo, lambda p, b: x, W, ms.Task(np.ones(2), np.ones(2)))


def test_trees_that_hold_no_arrays() -> None:
    with pytest.raises(errors.InvalidTypeError, match="tree: expected numbers and arrays as leaves, got str"):
        ms.asarray({"w": "seven"}, backend="numpy")
    with pytest.raises(errors.BackendNotChosenError, match="tree: no leaf is an array"):
        ms.array_namespace({"w": 1.0})
    assert ms.asarray({"w": [1, 2.5, True]}, dtype="float32", backend="numpy")["w"][1].dtype == np.float32
    assert ms.asarray({"n": 3, "b": True}, dtype="float32", backend="numpy")["n"].dtype == np.int64
    assert ms.array_namespace({"w": np.ones(1), "n": 1.0}) is ms.get_backend("numpy").xp


def test_rates_of_a_batch_are_checked() -> None:
    algo, tasks = ms.MAML(ms.GradientDescent({"v": 0.1}, 1)), ms.Task(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(errors.InvalidArgumentError, match="must have the structure of params"):
        ms.batch_meta_gradient(algo, loss, W, tasks)
    with pytest.raises(errors.InvalidArgumentError, match="must have the structure of params"):
        ms.adapt(algo, loss, W, np.ones(2))


def test_compiled_functions_keep_their_names() -> None:
    def step(x: Any) -> Any:
        """One step."""
        return x

    assert (ms.compile(step).__name__, ms.compile(step).__doc__) == ("step", "One step.")


def test_products_after_a_stop_by_tolerance_are_saved() -> None:
    asked: list[Any] = []
    A = np.diag([1.0, 2.0, 3.0, 4.0])
    B, b = ms.get_backend("numpy"), np.ones(4)
    s = B.linear_solve(lambda x: asked.append(x) or A @ x, b, ms.ConjugateGradient(50, tol=0.3))
    assert len(asked) == int(s.steps) < 4


def test_every_rate_of_an_array_is_looked_at() -> None:
    task = ms.Task(np.ones(2), np.ones(2))
    for rate in ([0.1, -0.1], [-0.1, 0.1], [np.inf, 0.1], [0.1, np.nan]):
        with pytest.raises(errors.InvalidArgumentError, match="must be a finite number >= 0"):
            ms.meta_gradient(ms.MAML(ms.GradientDescent({"w": np.asarray(rate)}, 1)), loss, W, task)
    none = {"w": np.zeros(0)}
    r = ms.meta_gradient(ms.MAML(ms.GradientDescent(none, 1)), lambda p, b: p["w"].sum(), none, task)
    assert r.delta["w"].shape == (0,)


def test_a_rate_that_is_one_array_is_named_without_a_path() -> None:
    task = ms.Task(np.ones(2), np.ones(2))
    with pytest.raises(errors.InvalidArgumentError, match="^GradientDescent: lr must be a finite number"):
        ms.meta_gradient(ms.MAML(ms.GradientDescent(np.asarray(-0.1), 1)), loss, W, task)


def test_a_trace_that_did_not_run_the_function_is_said() -> None:
    B = ms.get_backend("numpy")
    lazy = TraceCache(B, lambda x: x, lambda flat, arrays: flat, lambda x: x.shape)
    with pytest.raises(errors.InvalidTypeError, match="trace must run the function"):
        lazy(np.ones(2))


def test_rates_are_floating() -> None:
    task = ms.Task(np.ones(2), np.ones(2))
    for rate in (np.ones(2, dtype=np.int64), np.asarray(1)):
        with pytest.raises(errors.InvalidTypeError, match="lr.* must be floating, got dtype int64"):
            ms.meta_gradient(ms.MAML(ms.GradientDescent({"w": rate}, 1)), loss, W, task)


def test_a_backend_is_made_once() -> None:
    assert ms.get_backend("numpy") is ms.get_backend("numpy")


def test_an_adapter_without_a_required_member_cannot_be_made() -> None:
    required = {
        "xp",
        "versions",
        "asarray",
        "to_numpy",
        "precision",
        "is_concrete",
        "value_and_grad",
        "vjp",
        "stop_gradient",
    }
    assert ms.Backend.__abstractmethods__ == required


PARTS = (
    *(ms.MAML(INNER), ms.FOMAML(INNER), ms.Reptile(INNER), ms.IMAML(INNER, 1.0), INNER, ms.ConjugateGradient()),
    *(ms.DenseSolve(), ms.Capability("native"), ms.list_backends()[0], nn.sinusoid_mlp(), nn.omniglot_convnet(5)),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parts_are_values(part: Any) -> None:
    """Equal where their members are; never changed, so that a run is what its parts say."""
    member = dataclasses.fields(part)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part, member, None)
    assert dataclasses.replace(part) == part


@pytest.mark.parametrize(("value", "chosen"), [("numpy", "numpy"), ("", None), (None, None)])
def test_the_environment_is_read_at_import(
    monkeypatch: pytest.MonkeyPatch, value: str | None, chosen: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("METASPEC_BACKEND", raising=False)
    else:
        monkeypatch.setenv("METASPEC_BACKEND", value)
    spec = importlib.util.spec_from_file_location("choice_anew", choice.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.chosen_backend() == chosen


def test_statuses_keep_their_numbers() -> None:
    """They are what a batched or compiled solve returns, and what is written to files."""
    assert [(s.name, int(s)) for s in ms.SolveStatus] == [
        ("CONVERGED", 0), ("STEP_LIMIT", 1), ("NEGATIVE_CURVATURE", 2), ("NON_FINITE", 3)
    ]  # fmt: skip


@dataclass(frozen=True)
class Still:
    """An algorithm of one's own whose inner part counts no steps."""

    inner: Any = None

    def adapt_to(self, B: Any, loss: Any, params: Any, batch: Any) -> Any:
        return {"w": params["w"] * np.inf}

    def inner_batch(self, B: Any, task: ms.Task) -> Any:
        return task.support

    def meta_gradient(self, B: Any, loss: Any, params: Any, task: ms.Task) -> ms.MetaGradient:
        theta = self.adapt_to(B, loss, params, task.support)
        value, aux = loss(params, task.query)
        return ms.MetaGradient(theta, value, theta, ms.Diagnostics(np.asarray(False), value), aux)


def test_an_algorithm_without_steps_is_told_that_something_is_not_finite() -> None:
    task = ms.Task(np.ones(2), np.ones(2))
    for algo in (Still(), Still(Still())):
        with pytest.raises(errors.NonFiniteError, match="the query loss at its end is inf"):
            ms.meta_gradient(algo, loss, W, task)
        with pytest.raises(errors.NonFiniteError, match="adapted: NaN or infinity"):
            ms.adapt(algo, loss, W, task.support)


def test_compiled_functions_keep_so_many_traces_and_run_the_rest_as_it_is(caplog: Any) -> None:
    seen: list[int] = []

    def f(x: Any, n: int) -> Any:
        seen.append(n)
        return x * n

    compiled = ms.compile(f, backend="numpy")
    for n in range(MOST):
        assert compiled(np.ones(1), n)[0] == n
    assert not caplog.records
    for n in (MOST, MOST + 1, MOST, 0, 1):  # the last two are known
        assert compiled(np.ones(1), n)[0] == n
    assert seen == [*range(MOST), MOST, MOST + 1, MOST]
    (record,) = caplog.records
    assert f"more than {MOST} kinds of arguments" in record.getMessage()


def test_compiled_functions_under_a_transformation_are_the_functions_themselves() -> None:
    B = ms.get_backend("numpy")
    compiled = ms.compile(lambda x: (x**3).sum(), backend="numpy")
    x = np.arange(3.0)
    np.testing.assert_allclose(B.grad(compiled)(x), 3 * x**2)
    np.testing.assert_allclose(B.vmap(compiled)(x[:, None]), x**3)


def test_what_helps_a_solve_is_a_tree_or_a_function() -> None:
    """Either way the same: a preconditioner's diagonal, or its inverse applied; a start, or that of a task."""
    diagonal = {"w": np.asarray([2.0, 5.0])}
    A = np.asarray([[2.0, 0.5], [0.5, 5.0]])
    task = ms.Task(np.asarray([1.0, 3.0]), np.asarray([0.5, -1.0]))

    def curved(params: Any, batch: Any) -> Any:
        return 0.5 * params["w"] @ A @ params["w"] - (params["w"] * batch).sum() + (params["w"] ** 4).sum()

    def delta(start: Any, preconditioner: Any) -> Any:
        solver = ms.ConjugateGradient(1, preconditioner=preconditioner)
        algo = ms.IMAML(ms.GradientDescent(0.05, 2), 1.5, solver, start=start)
        return ms.meta_gradient(algo, curved, W, task).delta["w"]

    start = {"w": np.asarray([0.3, -0.2])}
    plain = delta(None, None)
    for a, b in (
        (delta(start, None), delta(lambda task: start, None)),
        (delta(None, diagonal), delta(None, lambda r: {"w": r["w"] / diagonal["w"]})),
        (delta(lambda task: {"w": task.query}, None), delta({"w": task.query}, None)),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-14)
        assert np.abs(a - plain).max() > 1e-4


def test_a_model_in_place_of_its_parameters_is_told_apart():
    torch = pytest.importorskip("torch")
    with pytest.raises(errors.InvalidTypeError, match="got Linear, which is none; of a model give the parameters"):
        ms.asarray(torch.nn.Linear(1, 1), backend="torch")
