"""Linear solves against dense ones at every scale, compiled loops, and what a solver refuses."""

import numpy as np
import pytest

import metaspec as ms
from tests.core.problems import on

N = 6


@pytest.fixture(autouse=True, params=[True, False], ids=["joined", "leaf by leaf"])
def joined(request, monkeypatch, B):
    """Small trees are solved for as one vector, large ones leaf by leaf: the same in all that can be seen."""
    monkeypatch.setattr(B.tuning, "joined_bytes", 1024 if request.param else 0)


def system(seed=0, condition=10.0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((N, N)))[0]
    return Q * np.geomspace(1.0, condition, N) @ Q.T, rng.standard_normal(N)


def solve(B, A, b, solver, x0=None):
    """In a tree of two leaves, so that products couple leaves."""
    xp = B.xp

    def matvec(tree):
        y = xp.matmul(A, xp.concat([tree["u"], tree["v"]]))
        return {"u": y[:2], "v": y[2:]}

    def split(x):
        return None if x is None else {"u": x[:2], "v": x[2:]}

    s = B.linear_solve(matvec, split(b), solver, split(x0))
    x = np.concatenate([B.to_numpy(s.x["u"]), B.to_numpy(s.x["v"])])
    return x, ms.SolveStatus(int(B.to_numpy(s.status))), int(B.to_numpy(s.steps)), float(B.to_numpy(s.residual))


def relative(x, y):
    return np.linalg.norm(x - y) / np.linalg.norm(y)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize(
    "solver", [ms.ConjugateGradient(N), ms.ConjugateGradient(50, tol=1e-13), ms.DenseSolve()], ids=str
)
def test_solution(B, solver, scale):
    A, b = system()
    with on(B, (A, b * scale)) as (a, c):
        x, status, _, residual = solve(B, a, c, solver)
        assert relative(x, np.linalg.solve(A, b) * scale) < 1e-12
        assert residual < 1e-12
        if solver != ms.ConjugateGradient(N):
            assert status is ms.SolveStatus.CONVERGED


def test_many_steps_compile_as_a_loop(B):
    A, b = system(condition=1e3)
    calls = []

    def compiled(A, b):
        def product(x):
            calls.append(x)
            return B.xp.matmul(A, x)

        s = B.linear_solve(product, b, ms.ConjugateGradient(60, tol=1e-10))
        return s.x, s.steps, s.status

    with on(B, (A, b)) as (a, c):
        x, steps, status = map(B.to_numpy, ms.compile(compiled, backend=B)(a, c))
        taken = solve(B, a, c, ms.ConjugateGradient(60, tol=1e-10))[2]
    assert relative(A @ x, b) < 1e-9
    assert abs(int(steps) - taken) <= 1
    assert ms.SolveStatus(int(status)) is ms.SolveStatus.CONVERGED
    if B.name in ("jax", "tensorflow"):  # whose compilers take their time over every copy
        assert len(calls) <= 4


@pytest.mark.parametrize("preconditioner", [2.0, True, "jacobi"])
def test_preconditioners_are_functions_or_trees(preconditioner):
    with pytest.raises(ms.errors.InvalidTypeError, match="ConjugateGradient: preconditioner must be a function"):
        ms.ConjugateGradient(3, preconditioner=preconditioner)


def test_a_preconditioner_unlike_the_system_is_refused_and_one_that_is_not_positive_is_reported(B):
    A, b = system()
    with on(B, (A, b, np.ones(2), np.ones(4))) as (a, c, u, v):
        with pytest.raises(ms.errors.InvalidArgumentError, match="trees of different structure"):
            solve(B, a, c, ms.ConjugateGradient(3, preconditioner={"u": u}))
        x, status, steps, residual = solve(B, a, c, ms.ConjugateGradient(3, preconditioner={"u": -u, "v": -v}))
    assert (status, steps, residual) == (ms.SolveStatus.NEGATIVE_CURVATURE, 0, 1.0)
    assert (x == 0).all()


def test_a_product_of_other_shapes_is_refused(B):
    """Leaves of as many entries would be taken for others in one vector, and leaves of fewer would broadcast."""
    with on(B, np.ones((2, 3))) as b:
        for wrong in (
            lambda x: {"u": B.xp.permute_dims(x["u"], (1, 0)), "v": x["v"]},
            lambda x: {"u": x["u"], "v": x["v"][:1]},
        ):
            with pytest.raises(ms.errors.InvalidArgumentError, match="products, preconditioner and start must be"):
                B.linear_solve(wrong, {"u": b, "v": b}, ms.ConjugateGradient(2))


def test_leaves_of_several_dtypes_keep_theirs(B):
    _, b = system()
    with on(B, b) as right, B.precision("float64"):
        tree = {"u": right[:2], "v": B.asarray(b[2:], dtype="float32")}
        s = B.linear_solve(lambda x: {name: 2.0 * leaf for name, leaf in x.items()}, tree, ms.ConjugateGradient(2))
    assert [B.dtype_name(s.x[name]) for name in "uv"] == ["float64", "float32"]
    np.testing.assert_allclose(B.to_numpy(s.x["u"]), b[:2] / 2, rtol=1e-6)
    np.testing.assert_allclose(B.to_numpy(s.x["v"]), b[2:] / 2, rtol=1e-6)
