"""Bad input gets an error of the project's own types that names the argument and says what to do."""

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from tests.conftest import fewer_compiled
from tests.core.problems import mlp, mlp_loss, on, to_numpy

INNER = ms.GradientDescent(0.1, 2)
MAML = ms.MAML(INNER)


def call(p, t, loss=mlp_loss, algo=MAML, **kwargs):
    return ms.meta_gradient(algo, loss, p, t, **kwargs)


def test_unknown_backend():
    with pytest.raises(errors.UnknownBackendError, match="'abacus' is not registered; known backends: .*numpy"):
        ms.get_backend("abacus")


def test_a_choice_that_fails_keeps_the_earlier_one():
    ms.set_backend("numpy")
    try:
        with pytest.raises(errors.UnknownBackendError):
            ms.set_backend("abacus")
        assert ms.get_backend().name == "numpy"
    finally:
        ms.set_backend(None)


def test_nothing_chosen():
    with pytest.raises(errors.BackendNotChosenError, match="backend=.*METASPEC_BACKEND"):
        ms.get_backend()
    with pytest.raises(errors.BackendNotChosenError, match=r"params: no leaf is an array .*leaf types: float"):
        call({"w": 1.0}, mlp()[1])


def test_arrays_of_another_framework(B):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):
        if B.name == "numpy":
            pytest.skip("the other framework of this test is NumPy")
        with pytest.raises(errors.BackendMismatchError, match=rf"params.*the backend is '{B.name}'.*array of 'numpy'"):
            call(params, t, backend=B.name)
        with pytest.raises(errors.BackendMismatchError, match=r"task\.support.*'x'.*array of 'numpy'"):
            call(p, task)
        with pytest.raises(errors.BackendMismatchError, match="several frameworks in one tree"):
            call({**p, "b1": params["b1"]}, t)
        with ms.backend_context("numpy"), pytest.raises(errors.BackendMismatchError, match="the backend is 'numpy'"):
            call(p, t)


def test_a_leaf_that_is_no_array(B):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):
        with pytest.raises(errors.InvalidTypeError, match=r"params.*'b1'.*got 'bias' of type str"):
            call({**p, "b1": "bias"}, t)
        with pytest.raises(errors.InvalidTypeError, match=r"task: expected metaspec\.Task.*got dict"):
            call(p, {"support": t.support, "query": t.query})


@pytest.mark.parametrize("empty", [{}, None, [], {"w": None}])
def test_empty_tree(B, empty):
    with on(B, mlp()[1]) as t, pytest.raises(errors.InvalidArgumentError, match="params: the tree has no leaves"):
        call(empty, t, backend=B.name)


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_parameters_that_are_not_real_and_floating(B, dtype):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):
        bad = {**p, "b1": B.asarray(np.ones(6).astype(dtype))}
        with pytest.raises(errors.InvalidTypeError, match=rf"params.*'b1'.*got dtype {dtype}"):
            call(bad, t)


def losses(B):
    return {
        "vector": (lambda p, b: p["b1"], r"returned shape \(6,\), expected a floating scalar"),
        "none": (lambda p, b: None, "returned None, expected"),
        "int": (lambda p, b: 3, "returned 3 of type int"),
        "string": (lambda p, b: "0.5", "returned '0.5' of type str"),
        "tuple": (lambda p, b: (mlp_loss(p, b), 1), "has_aux=True"),
        "list": (lambda p, b: [p["b1"]], "returned type list"),
        "integer array": (lambda p, b: B.xp.argmax(p["b1"]), "returned dtype int"),
    }


@pytest.mark.parametrize("kind", losses(ms.get_backend("numpy")))
@pytest.mark.parametrize("algo", [MAML, ms.Reptile(INNER)], ids=["MAML", "Reptile"])
def test_a_loss_that_returns_something_else(B, algo, kind):
    loss, message = losses(B)[kind]
    with on(B, mlp()) as (p, t), pytest.raises(errors.LossError, match=message):
        call(p, t, loss, algo)


@pytest.mark.parametrize("steps", [-1, 1.5, "3", None, True])
def test_steps(steps):
    with pytest.raises((errors.InvalidArgumentError, errors.InvalidTypeError), match=r"GradientDescent: steps must be"):
        ms.GradientDescent(0.1, steps)
    with pytest.raises((errors.InvalidArgumentError, errors.InvalidTypeError), match=r"ConjugateGradient: steps must"):
        ms.ConjugateGradient(steps=steps)


@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf"), None, "0.1", np.float32(-1)])
def test_rate(lr):
    with pytest.raises((errors.InvalidArgumentError, errors.InvalidTypeError), match="GradientDescent: lr must be"):
        ms.GradientDescent(lr, 1)


def test_tree_of_rates(B):
    with on(B, mlp()) as (p, t):
        with pytest.raises(errors.InvalidArgumentError, match="must have the structure of params"):
            call(p, t, algo=ms.MAML(ms.GradientDescent({"w1": 0.1}, 1)))
        with pytest.raises(errors.InvalidArgumentError, match=r"lr.*'b1'.*must be a finite number >= 0, got -1"):
            call(p, t, algo=ms.MAML(ms.GradientDescent({"w1": 0.1, "b1": -1.0, "w2": p["w2"] ** 2}, 1)))
        with pytest.raises(errors.InvalidArgumentError, match=r"lr.*'w2'.*must be a finite number >= 0, got -2"):
            call(p, t, algo=ms.MAML(ms.GradientDescent({"w1": 0.1, "b1": 1.0, "w2": p["w2"] * 0 - 2}, 1)))


@pytest.mark.parametrize("regularization", [0, -1.0, float("nan"), float("inf"), None, "2", True])
def test_regularization(regularization):
    with pytest.raises(errors.InvalidArgumentError, match=r"IMAML: regularization must be a finite number > 0"):
        ms.IMAML(INNER, regularization)


@pytest.mark.parametrize("kwargs", [{"tol": -1.0}, {"tol": 0.0}, {"damping": -1.0}, {"damping": float("nan")}])
def test_solver_arguments(kwargs):
    with pytest.raises(errors.InvalidArgumentError, match=rf"ConjugateGradient: {next(iter(kwargs))} must be"):
        ms.ConjugateGradient(**kwargs)


def test_dense_solve_of_too_many_unknowns(B):
    with on(B, mlp()) as (p, t), pytest.raises(errors.InvalidArgumentError, match="24 unknowns .*max_size=10"):
        call(p, t, algo=ms.IMAML(INNER, 1.0, ms.DenseSolve(max_size=10)))


def test_what_is_no_algorithm(B):
    with on(B, mlp()) as (p, t):
        for algo in ("maml", ms.MAML, INNER):
            with pytest.raises(errors.InvalidTypeError, match="algo: expected an algorithm"):
                call(p, t, algo=algo)


def test_batches(B):
    params, task = mlp()
    rows = {key: np.stack([leaf] * 3) for key, leaf in task.support.items()}
    fewer = {key: leaf[:2] for key, leaf in rows.items()}
    with on(B, (params, rows, fewer)) as (p, rows, fewer):

        def batch(tasks):
            return ms.batch_meta_gradient(MAML, mlp_loss, p, tasks)

        with pytest.raises(errors.InvalidArgumentError, match=r"must agree in axis 0.*: 3.*: 2"):
            batch(ms.Task(rows, fewer))
        with pytest.raises(errors.InvalidArgumentError, match="zero tasks"):
            batch(ms.Task(*({key: leaf[:0] for key, leaf in rows.items()} for _ in range(2))))
        with pytest.raises(errors.InvalidArgumentError, match="zero tasks"):
            batch([])
        with pytest.raises(errors.InvalidArgumentError, match="got a scalar"):
            batch(ms.Task({"x": rows["x"][0, 0, 0]}, rows))
        with pytest.raises(errors.InvalidTypeError, match=r"tasks\[1\]: expected metaspec\.Task"):
            batch([ms.Task(rows, rows), rows])
        with pytest.raises(errors.InvalidTypeError, match="tasks: expected a Task .*got dict"):
            batch(rows)


def test_reptile_cannot_join_what_does_not_fit(B):
    params, task = mlp()
    reptile = ms.Reptile(INNER)
    with on(B, (params, task)) as (p, t):
        with pytest.raises(errors.InvalidArgumentError, match="support and query, so they need one structure"):
            call(p, ms.Task(t.support, {**t.query, "z": t.query["y"]}), algo=reptile)
        with pytest.raises(errors.InvalidArgumentError, match=r"leaf .*'x'.*\(8, 2\) and \(6, 1\)"):
            call(p, ms.Task(t.support, {**t.query, "x": t.query["y"]}), algo=reptile)


def test_float64_is_computed_or_refused(B):
    params, task = mlp()
    if B.name == "jax":
        with pytest.raises(errors.DtypeNotHonouredError, match="float64 was asked for.*precision"):
            B.asarray(params["w1"], dtype="float64")
        with pytest.raises(errors.DtypeNotHonouredError):
            ms.asarray(params, backend="jax")
    with on(B, (params, task)) as (p, t):
        assert B.dtype_name(p["w1"]) == "float64"
    assert B.dtype_name(call(p, t).delta["w1"]) == "float64"  # outside of the context in which the arrays were made


def test_jax_uploads_no_float64_as_float32():
    pytest.importorskip("jax")
    B = ms.get_backend("jax")
    with pytest.raises(errors.DtypeNotHonouredError, match="float64 was asked for.*precision"):
        B.tuning.from_numpy_many([np.ones(2, "float32"), np.ones(2)])
    with B.precision("float64"):
        assert [B.dtype_name(x) for x in B.tuning.from_numpy_many([np.ones(2, "float32"), np.ones(2)])] == [
            "float32",
            "float64",
        ]


def test_no_format_beyond_float64(B):
    if B.name == "numpy":
        pytest.skip("NumPy has an extended format")
    with pytest.raises(errors.DtypeNotHonouredError):
        B.asarray(np.ones(2, np.longdouble))


@pytest.mark.parametrize(
    ("backend", "algo"),
    fewer_compiled([MAML, ms.FOMAML(INNER), ms.Reptile(INNER), ms.IMAML(INNER, 1.0)], [MAML]),
    ids=str,
)
def test_infinity_in_the_inner_loop_is_located(B, algo):
    params, task = mlp()

    def explosive(p, batch):
        xp = ms.array_namespace(p)
        return xp.sum(xp.exp(400.0 * p["b1"] ** 2)) + 0.0 * mlp_loss(p, batch)

    params = {**params, "b1": np.full(6, 0.3)}
    with on(B, (params, task)) as (p, t):
        with pytest.raises(errors.NonFiniteError, match=r"inner step 2 of 2, in leaf .*b1"):
            call(p, t, explosive, algo)
        sequence = [t, ms.Task(t.query, t.support)]
        with pytest.raises(errors.NonFiniteError, match="inner step 2 of 2"):
            ms.batch_meta_gradient(algo, explosive, p, sequence)
        with pytest.raises(errors.NonFiniteError, match="meta-parameters themselves are not finite"):
            call({**p, "b1": p["b1"] * float("nan")}, t, algo=algo)


def test_the_task_is_named_in_a_batch(B):
    params, task = mlp()
    rows = {key: np.stack([leaf] * 3) for key, leaf in task.support.items()}
    rows["y"][1] = np.inf
    with on(B, (params, rows)) as (p, rows), pytest.raises(errors.NonFiniteError, match="task 1: .*inner step 1 of 2"):
        ms.batch_meta_gradient(MAML, mlp_loss, p, ms.Task(rows, rows))


def test_an_infinite_query_loss_is_told_from_the_inner_loop(B):
    params, task = mlp()
    task.query["y"][0] = np.inf
    with on(B, (params, task)) as (p, t), pytest.raises(errors.NonFiniteError, match="inner loop stayed finite"):
        call(p, t)


def test_an_inner_loop_that_leaves_the_loss_s_range_is_told_from_bad_data():
    loss = lambda p, batch: np.sum(np.exp(batch["k"] * p["w"]))  # noqa: E731
    support, query = {"k": np.array([-1.0])}, {"k": np.array([1.0])}
    algo = ms.FOMAML(ms.GradientDescent(1e4, 1))
    with pytest.raises(errors.NonFiniteError, match=r"its end is inf, and 1 at its start.*Lower the inner learning"):
        ms.meta_gradient(algo, loss, {"w": np.array(0.0)}, ms.Task(support, query), backend="numpy")


def test_a_meta_gradient_that_overflows_names_the_inner_rate():
    loss = lambda p, batch: np.sum(batch["k"] * (p["w"] - batch["c"]) ** 2)  # noqa: E731
    support, query = {"k": np.array([1e200]), "c": np.zeros(1)}, {"k": np.ones(1), "c": np.ones(1)}
    algo = ms.MAML(ms.GradientDescent(1.0, 2))  # theta stays zero, and (1 - 2 k)^2 is 4e400
    with pytest.raises(errors.NonFiniteError, match="the meta-gradient did not: .*lower the inner learning rate"):
        ms.meta_gradient(algo, loss, {"w": np.array([0.0])}, ms.Task(support, query), backend="numpy")


def in_place(kind):
    def loss(p, batch):
        if kind == "item":
            p["b1"][...] = 0.0
        else:
            p["b1"].add_(1.0)
        return mlp_loss(p, batch)

    return loss


@pytest.mark.parametrize("algo", [MAML, ms.Reptile(INNER)], ids=["MAML", "Reptile"])
@pytest.mark.parametrize("kind", ["item", "method"])
def test_a_loss_that_mutates_its_parameters(B, algo, kind):
    applies = {"numpy": {"item"}, "torch": {"item", "method"}}.get(B.name, set())
    if kind not in applies:
        pytest.skip("arrays of this backend cannot be changed in this way")
    with on(B, mlp()) as (p, t):
        before = to_numpy(B, p)["b1"].copy()
        with pytest.raises(errors.MutationError, match="in place|must not mutate"):
            call(p, t, in_place(kind), algo)
        assert (to_numpy(B, p)["b1"] == before).all()
