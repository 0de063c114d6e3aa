"""What users do that the formulas do not speak of."""

import contextlib
import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from metaspec.training import SGD, Adam
from tests.conftest import fewer_compiled
from tests.core.problems import mlp, mlp_loss, on, to_numpy
from tests.helpers import whole

INNER = ms.GradientDescent(0.1, 2)
ALGORITHMS = [ms.MAML(INNER), ms.FOMAML(INNER), ms.Reptile(INNER), ms.IMAML(INNER, 2.0, ms.ConjugateGradient(3))]
by_name = pytest.mark.parametrize(("backend", "algo"), fewer_compiled(ALGORITHMS, ALGORITHMS[::3]), ids=str)


@by_name
def test_data_of_a_wider_format_do_not_widen_the_parameters(B, algo):
    params, task = mlp()
    with B.precision("float64"):
        p, t = ms.asarray(params, dtype="float32", backend=B), ms.asarray(task, dtype="float64", backend=B)
        if B.name == "tensorflow":

            def loss(p, batch):
                return mlp_loss(p, {name: B.xp.astype(leaf, B.xp.float32) for name, leaf in batch.items()})
        elif B.name == "torch":

            def loss(p, batch):
                return mlp_loss({name: leaf.double() for name, leaf in p.items()}, batch)
        else:
            loss = mlp_loss
        for tasks in (t, [t, t], [t, ms.Task(t.query, t.support)]):
            call = ms.meta_gradient if tasks is t else ms.batch_meta_gradient

            def trees(p, tasks, call=call):
                r = call(algo, loss, p, tasks)
                return r.delta, r.adapted

            assert {B.dtype_name(leaf) for tree in whole(B, trees)(p, tasks) for leaf in tree.values()} == {"float32"}
        adapted = whole(B, lambda p, support: ms.adapt(algo, loss, p, support))(p, t.support)
        assert {B.dtype_name(leaf) for leaf in adapted.values()} == {"float32"}


@by_name
def test_a_loss_may_bind_new_values_in_its_containers(B, algo):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):

        def plain(p, batch):
            return mlp_loss({**p, "b1": p["b1"] * 2}, {**batch, "x": batch["x"] * 2})

        def binding(p, batch):
            p["b1"], batch["x"] = p["b1"] * 2, batch["x"] * 2
            return mlp_loss(p, batch)

        for steps in (0, 2):
            same = type(algo)(ms.GradientDescent(0.1, steps), *([2.0] if isinstance(algo, ms.IMAML) else []))
            expected, got = (
                to_numpy(B, whole(B, lambda p, t, f=f, same=same: ms.meta_gradient(same, f, p, t).delta)(p, t))
                for f in (plain, binding)
            )
            assert all((expected[name] == got[name]).all() for name in expected)
        before, after = (params, *task), to_numpy(B, (p, *t))
        assert all((a[name] == b[name]).all() for a, b in zip(before, after, strict=True) for name in a)


@pytest.mark.parametrize("shape", [(2, 6), (5,), (1, 1, 1)])
def test_rates_must_not_change_shapes(B, shape):
    with on(B, (mlp(), np.full(shape, 0.1))) as ((p, t), rate):
        inner = ms.GradientDescent({"w1": 0.1, "b1": rate, "w2": 0.1}, 1)
        with pytest.raises(errors.InvalidArgumentError, match=r"lr.*'b1'.*does not broadcast to the shape \(6,\)"):
            ms.meta_gradient(ms.FOMAML(inner), mlp_loss, p, t)


def test_numpy_numbers_as_hyper_parameters_widen_nothing(B):
    params, task = mlp()
    wide = np.float64
    inner = ms.GradientDescent({"w1": wide(0.1), "b1": wide(0.1), "w2": wide(0.1)}, np.int64(2))
    algo = ms.IMAML(inner, wide(2.0), ms.ConjugateGradient(3, damping=wide(0.1)))
    with on(B, (params, task), "float32") as (p, t):
        delta = ms.meta_gradient(algo, mlp_loss, p, t).delta
        for optimizer in (SGD(wide(0.1), wide(0.9)), Adam(wide(0.1), wide(0.9), wide(0.99), wide(1e-8))):
            moved, _ = optimizer.update(B, p, optimizer.init(B, p), delta, B.asarray(np.float32(0.1)))
            assert {B.dtype_name(leaf) for leaf in (*moved.values(), *delta.values())} == {"float32"}


def test_adapt_finds_what_is_not_finite(B):
    with on(B, mlp()) as (p, t), pytest.raises(errors.NonFiniteError, match="inner step 2 of 3"):
        ms.adapt(ms.MAML(ms.GradientDescent(1e200, 3)), mlp_loss, p, t.support)


def test_a_ragged_batch_names_the_task(B):
    params, task = mlp()
    task.query["y"][0] = np.inf
    with on(B, (params, task)) as (p, t), pytest.raises(errors.NonFiniteError, match="task 1: the inner loop stayed"):
        ms.batch_meta_gradient(ALGORITHMS[0], mlp_loss, p, [ms.Task(t.support, t.support), t])


def test_a_singular_matrix_is_reported(B):
    with on(B, np.ones(3)) as w:
        algo = ms.IMAML(ms.GradientDescent(0.0, 1), 2.0, ms.DenseSolve())
        with pytest.raises(errors.NonFiniteError, match="is its matrix singular"):
            ms.meta_gradient(algo, lambda p, batch: -B.xp.sum(p * p), w, ms.Task(w, w))


def test_compiled_functions_and_constants(B):
    f = ms.compile(lambda x, sign: B.xp.where(x * 0 + 1 / (sign or 0.5) > 0, x, -x) if sign else x * 3)
    with on(B, np.ones(2)) as x:
        assert B.to_numpy(f(x, 2.0)).tolist() == [1.0, 1.0]
        assert B.to_numpy(f(x, -2.0)).tolist() == [-1.0, -1.0]
        steps = ms.compile(
            lambda x, n: ms.adapt(ms.MAML(ms.GradientDescent(0.5, n)), lambda p, b: B.xp.sum(p * b), x, x)
        )
        assert [float(B.to_numpy(steps(x, n))[0]) for n in (0, 1, 2)] == [1.0, 0.5, 0.0]
    with pytest.raises(errors.InvalidTypeError, match="compile: expected a function"):
        ms.compile(3)


def test_compiled_functions_refuse_other_frameworks_arrays(B):
    if B.name == "numpy":
        pytest.skip("the other framework of this test is NumPy")
    with pytest.raises(errors.BackendMismatchError, match="arguments.*array of 'numpy'"):
        ms.compile(lambda x: x * 2, backend=B)(np.ones(2))


def test_compiling_in_several_threads(B):
    f = ms.compile(lambda x: B.xp.sum(x * x))

    def call(n):
        return float(B.to_numpy(f(B.asarray(np.ones(n, "float32")))))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(1, 9))) == list(range(1, 9))


def test_a_compiled_function_that_changes_its_arguments():
    torch = pytest.importorskip("torch")
    w = torch.ones(2)
    with pytest.raises(errors.MutationError, match="compile: the function changes its arguments"):
        ms.compile(lambda w: w.sub_(0.5))(w)
    assert w.tolist() == [1.0, 1.0]


def test_errors_inside_a_compiled_batch_keep_their_type(B):
    params, task = mlp()
    rows = {name: np.stack([leaf] * 2) for name, leaf in task.support.items()}
    f = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGORITHMS[0], lambda p, b: p["b1"], p, t))
    with on(B, (params, ms.Task(rows, rows))) as (p, t), pytest.raises(errors.LossError, match="returned shape"):
        f(p, t)


def test_results_carry_no_graph():
    torch = pytest.importorskip("torch")
    frozen = torch.ones(1, requires_grad=True, dtype=torch.float64)
    with on(ms.get_backend("torch"), mlp()) as (p, t):
        r = ms.meta_gradient(ALGORITHMS[0], lambda p, b: mlp_loss(p, b) * frozen.sum(), p, t)
    assert not any(leaf.requires_grad for leaf in (r.query_loss, *r.delta.values(), *r.adapted.values()))


def test_models_and_masked_arrays_are_refused():
    masked = np.ma.masked_array(np.ones(3), [0, 1, 0])
    with pytest.raises(errors.InvalidTypeError, match="MaskedArray, which is none"):
        ms.meta_gradient(ALGORITHMS[0], mlp_loss, {"w": masked}, mlp()[1])
    torch = pytest.importorskip("torch")
    with pytest.raises(errors.InvalidTypeError, match="Linear, which is none; a model goes in as the tree"):
        ms.meta_gradient(ALGORITHMS[0], mlp_loss, torch.nn.Linear(2, 1), mlp()[1])


def test_facades_leave_the_choice_free(backend):
    facade = importlib.import_module(f"metaspec.{backend}")
    with facade.backend_context("numpy"):
        assert facade.get_backend().name == "numpy"
    assert facade.get_backend("numpy").name == "numpy"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ms.MAML(0.1),
        lambda: ms.Reptile(ms.GradientDescent),
        lambda: ms.FOMAML(None),
        lambda: ms.IMAML(INNER, 1.0, "cg"),
        lambda: ms.IMAML(INNER, 1.0, ms.DenseSolve),
    ],
)
def test_parts_of_algorithms(make):
    with pytest.raises(errors.InvalidTypeError, match="must be something like"):
        make()


def test_dtypes_that_there_are_not(B):
    for dtype in ("foo", "float999"):
        with pytest.raises(errors.DtypeNotHonouredError):
            B.asarray(np.ones(2), dtype=dtype)
    with pytest.raises(errors.InvalidTypeError, match="dtype must be a string"):
        ms.asarray(np.ones(2), dtype=np.float32, backend=B)


def test_a_read_only_numpy_array_is_not_lent_to_an_array_that_can_be_written(B):
    given = np.ones(3, dtype=np.float32)
    given.setflags(write=False)
    x = B.asarray(given)
    with contextlib.suppress(TypeError, ValueError, RuntimeError):  # immutable arrays refuse
        x[0] = 2.0
    assert given[0] == 1.0
