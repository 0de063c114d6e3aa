"""A meta-gradient inside of another derivative: against central differences of the meta-gradient itself."""

import numpy as np
import pytest

import metaspec as ms
from tests.conftest import fewer_compiled
from tests.core.problems import mlp, mlp_loss, on, to_numpy
from tests.helpers import whole

INNER = ms.GradientDescent(0.2, 2)
ALGORITHMS = [ms.MAML(INNER), ms.FOMAML(INNER), ms.Reptile(INNER), ms.IMAML(INNER, 2.0, ms.ConjugateGradient(3))]
STEP = 1e-5


@pytest.mark.parametrize(("backend", "algo"), fewer_compiled(ALGORITHMS, ALGORITHMS[::3]), ids=str)
def test_derivative_of_the_meta_gradient(B, algo):
    params, task = mlp()
    with on(B, (params, task)) as (p, t):

        def along(p):
            delta = ms.meta_gradient(algo, mlp_loss, p, t).delta
            return B.xp.sum(B.xp.sin(delta["w1"])) + B.xp.sum(delta["b1"] ** 2)

        value = whole(B, along)
        gradient = to_numpy(B, whole(B, B.grad(along))(p))
        for key, index in (("w1", (0, 3)), ("b1", (2,)), ("w2", (4, 0))):
            shifted = []
            for sign in (1, -1):
                moved = params[key].copy()
                moved[index] += sign * STEP
                shifted.append(float(B.to_numpy(value({**p, key: B.asarray(moved)}))))
            assert gradient[key][index] == pytest.approx((shifted[0] - shifted[1]) / (2 * STEP), rel=1e-6, abs=1e-9)


def test_a_closure_over_the_same_array_is_a_constant(B):
    with on(B, np.asarray(3.0)) as x:
        assert float(B.to_numpy(B.grad(lambda y: y * x)(x))) == 3.0
        _, pullback = B.vjp(lambda y: y * x, x)
        assert float(B.to_numpy(pullback(x)[0])) == 9.0


def test_a_compiled_scan_carries_and_returns_a_leaf_without_entries(B):
    def step(carry, x):
        return {"a": carry["a"] + x, "empty": carry["empty"] * 2}, {"a": carry["a"], "empty": carry["empty"]}

    with on(B, (np.arange(20.0), np.asarray(0.0), np.zeros((0, 3)))) as (xs, zero, empty):
        carry, ys = B.compile(lambda c, xs: B.scan(step, c, xs))({"a": zero, "empty": empty}, xs)
        assert float(B.to_numpy(carry["a"])) == 190
        assert B.to_numpy(ys["a"]).tolist() == [n * (n - 1) / 2 for n in range(20)]
        assert carry["empty"].shape == (0, 3)
        assert ys["empty"].shape == (20, 0, 3)
