"""The four algorithms against closed forms on quadratics, and the edge cases of the specification, on every backend."""

import numpy as np
import pytest

import metaspec as ms
from tests.core.problems import error, mlp, mlp_loss, on, quadratic, quadratic_loss, to_numpy, vector

LR, STEPS, LAMBDA = 0.3, 3, 1.5
BOUND = 16 * 8  # 16 roundoffs times an amplification of at most 8: lr ||A|| < 1 and the condition of I + A / lambda < 2
INNER = ms.GradientDescent(LR, STEPS)


def split(theta):
    return {"first": theta[:2], "second": theta[2:].reshape(1, -1)}


def path(A, b, theta, proximal=0.0, steps=STEPS):
    start = theta
    for _ in range(steps):
        theta = theta - LR * (A @ theta - b + proximal * (theta - start))
    return theta


def closed_form(name, params, task):
    A, b, C, d = task.support["A"], task.support["b"], task.query["A"], task.query["b"]
    phi, identity = vector(params), np.eye(5)
    if name == "IMAML":
        theta = path(A, b, phi, proximal=LAMBDA)
        return split(theta), split(np.linalg.solve(identity + A / LAMBDA, C @ theta - d))
    theta = path(A, b, phi)
    J = np.linalg.matrix_power(identity - LR * A, STEPS) if name == "MAML" else identity
    return split(theta), split(J @ (C @ theta - d))


ALGORITHMS = {
    "MAML": ms.MAML(INNER),
    "FOMAML": ms.FOMAML(INNER),
    "IMAML": ms.IMAML(INNER, LAMBDA, ms.ConjugateGradient(steps=5)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_quadratic(B, name, dtype):
    params, task = quadratic()
    theta, delta = closed_form(name, params, task)
    with on(B, (params, task), dtype) as (p, t):
        r = ms.meta_gradient(ALGORITHMS[name], quadratic_loss, p, t)
        assert B.dtype_name(r.delta["first"]) == dtype
        assert error(B, r.adapted, theta) < BOUND
        assert error(B, r.delta, delta) < BOUND
        assert error(B, ms.adapt(ALGORITHMS[name], quadratic_loss, p, t.support), theta) < BOUND


def test_dense_solve_agrees_with_the_closed_form(B):
    params, task = quadratic()
    _, delta = closed_form("IMAML", params, task)
    with on(B, (params, task)) as (p, t):
        r = ms.meta_gradient(ms.IMAML(INNER, LAMBDA, ms.DenseSolve()), quadratic_loss, p, t)
        assert error(B, r.delta, delta) < BOUND


def test_reptile_descends_on_support_and_query_joined(B):
    params, task = mlp()
    joined = {key: np.concatenate([task.support[key], task.query[key]]) for key in ("x", "y")}
    with on(B, (params, task, joined)) as (p, t, j):
        r = ms.meta_gradient(ms.Reptile(ms.GradientDescent(LR, 1)), mlp_loss, p, t)
        gradient = to_numpy(B, B.grad(mlp_loss)(p, j))
        assert error(B, r.delta, {key: LR * g for key, g in gradient.items()}) < BOUND
        theta = ms.adapt(ms.Reptile(INNER), mlp_loss, p, t.support)
        assert error(B, theta, to_numpy(B, ms.adapt(ms.MAML(INNER), mlp_loss, p, t.support))) < BOUND


@pytest.mark.parametrize("query", [None, {"x": np.zeros((0, 2)), "y": np.zeros((0, 1))}])
def test_empty_query(B, query):
    params, task = mlp()
    with on(B, (params, ms.Task(task.support, query))) as (p, t):
        r = ms.meta_gradient(ms.Reptile(INNER), mlp_loss, p, t)
        theta = to_numpy(B, ms.adapt(ms.Reptile(INNER), mlp_loss, p, t.support))
        assert error(B, r.delta, {key: params[key] - theta[key] for key in params}) < BOUND
        for algo in ALGORITHMS.values():
            with pytest.raises(ms.errors.InvalidArgumentError, match=r"task\.query is empty"):
                ms.meta_gradient(algo, mlp_loss, p, t)


def test_no_steps(B):
    params, task = mlp()
    none = ms.GradientDescent(LR, 0)
    with on(B, (params, task)) as (p, t):
        plain = to_numpy(B, B.grad(mlp_loss)(p, t.query))
        for algo in (ms.MAML(none), ms.FOMAML(none)):
            assert error(B, ms.meta_gradient(algo, mlp_loss, p, t).delta, plain) < BOUND
        reptile = ms.meta_gradient(ms.Reptile(none), mlp_loss, p, t)
        assert all((leaf == 0).all() for leaf in to_numpy(B, reptile.delta).values())


def test_unused_leaf_gets_exact_zeros_and_the_structure_stays(B):
    params, task = mlp()
    params = {**params, "unused": np.ones(3), "nested": [(np.ones((2, 0)), None)]}
    with on(B, (params, task)) as (p, t):
        for algo in (*ALGORITHMS.values(), ms.Reptile(INNER)):
            delta = ms.meta_gradient(algo, mlp_loss, p, t).delta
            assert (B.to_numpy(delta["unused"]) == 0).all()
            assert delta["nested"][0][1] is None
            assert tuple(delta["nested"][0][0].shape) == (2, 0)


def test_linear_loss_makes_maml_first_order_and_hvp_exactly_zero(B):
    params, task = quadratic()

    def linear(p, batch):
        xp = ms.array_namespace(p)
        return xp.sum(p["first"] * batch["b"][:2]) + xp.sum(p["second"])

    with on(B, (params, task)) as (p, t):
        maml = to_numpy(B, ms.meta_gradient(ms.MAML(INNER), linear, p, t).delta)
        fomaml = to_numpy(B, ms.meta_gradient(ms.FOMAML(INNER), linear, p, t).delta)
        product = to_numpy(B, B.hvp(linear)(p, p, t.support))
        kept = to_numpy(B, B.linearize_grad(linear)(p, t.support)[1](p))
    for key in params:
        assert (maml[key] == fomaml[key]).all()
        assert (product[key] == 0).all()
        assert (kept[key] == 0).all()


def test_a_tree_of_rates(B):
    params, task = quadratic()
    rates = {"first": 0.1, "second": np.array([[0.2, 0.3, 0.0]])}
    A, b = task.support["A"], task.support["b"]
    diagonal = np.diag([0.1, 0.1, 0.2, 0.3, 0.0])
    theta = vector(params)
    for _ in range(2):
        theta = theta - diagonal @ (A @ theta - b)
    J = np.linalg.matrix_power(np.eye(5) - diagonal @ A, 2)
    with on(B, (params, task, rates)) as (p, t, lr):
        lr = {"first": 0.1, "second": lr["second"]}
        r = ms.meta_gradient(ms.MAML(ms.GradientDescent(lr, 2)), quadratic_loss, p, t)
        assert error(B, r.delta, split(J.T @ (task.query["A"] @ theta - task.query["b"]))) < BOUND


def test_diagnostics_of_imaml(B):
    params, task = quadratic()
    theta, _ = closed_form("IMAML", params, task)
    A, b = task.support["A"], task.support["b"]
    gradient = A @ vector(theta) - b + LAMBDA * (vector(theta) - vector(params))
    with on(B, (params, task)) as (p, t):
        d = ms.meta_gradient(ALGORITHMS["IMAML"], quadratic_loss, p, t).diagnostics
        assert float(B.to_numpy(d.stationarity)) == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
        assert float(B.to_numpy(d.solve_residual)) < 1e-12  # five steps for five unknowns
        assert int(B.to_numpy(d.solve_steps)) == 5
        loose = ms.IMAML(INNER, LAMBDA, ms.ConjugateGradient(steps=50, tol=1e-2))
        d = ms.meta_gradient(loose, quadratic_loss, p, t).diagnostics
        assert ms.SolveStatus(int(B.to_numpy(d.solve_status))) is ms.SolveStatus.CONVERGED
        assert 1 <= int(B.to_numpy(d.solve_steps)) < 5


def test_aux_of_the_query_set(B):
    params, task = mlp()

    def with_aux(p, batch):
        return mlp_loss(p, batch), {"count": batch["x"].shape[0], "first": batch["x"][0, 0]}

    with on(B, (params, task)) as (p, t):
        for algo in (*ALGORITHMS.values(), ms.Reptile(INNER)):
            r = ms.meta_gradient(algo, with_aux, p, t, has_aux=True)
            assert r.aux["count"] == 6
            assert float(B.to_numpy(r.aux["first"])) == task.query["x"][0, 0]


def test_parameters_and_data_stay_as_they_were(B):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):
        for algo in (*ALGORITHMS.values(), ms.Reptile(INNER)):
            ms.meta_gradient(algo, mlp_loss, p, t)
        after = to_numpy(B, (p, t))
    for before, now in zip((params, *task), (after[0], *after[1]), strict=True):
        assert all((before[key] == now[key]).all() for key in before)


def test_calls_repeat_bit_for_bit(B):
    params, task = mlp()
    with on(B, (params, task), "float32") as (p, t):
        first, second = (to_numpy(B, ms.meta_gradient(ms.MAML(INNER), mlp_loss, p, t).delta) for _ in range(2))
    assert all((first[key] == second[key]).all() for key in first)
