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


def test_derivative_with_respect_to_the_inner_rate(B):
    params, task = mlp()
    with on(B, (params, task, np.asarray(0.2))) as (p, t, lr):

        def after_adaptation(lr):
            return ms.meta_gradient(ms.FOMAML(ms.GradientDescent(lr, 3)), mlp_loss, p, t).query_loss

        gradient = float(B.to_numpy(B.grad(after_adaptation)(lr)))
        high, low = (float(B.to_numpy(after_adaptation(lr + h))) for h in (STEP, -STEP))
        assert gradient == pytest.approx((high - low) / (2 * STEP), rel=1e-7)


def test_stop_gradient_holds_at_every_order(B):
    with on(B, np.asarray(0.7)) as x:

        def f(x):
            return B.stop_gradient(x * x) * x

        first, second = B.grad(f), B.grad(B.grad(f))
        assert float(B.to_numpy(first(x))) == pytest.approx(0.49)
        assert float(B.to_numpy(second(x))) == 0.0


def test_hvp_forms_agree_and_are_symmetric(B):
    params, task = mlp()
    rng = np.random.default_rng(3)
    directions = [{key: rng.standard_normal(leaf.shape) for key, leaf in params.items()} for _ in range(2)]
    with on(B, (params, task, directions)) as (p, t, (u, v)):
        _, kept = B.linearize_grad(mlp_loss)(p, t.support)
        Hu, Hv, Hv_kept = to_numpy(B, (B.hvp(mlp_loss)(p, u, t.support), B.hvp(mlp_loss)(p, v, t.support), kept(v)))
    for key in params:
        np.testing.assert_allclose(Hv[key], Hv_kept[key], rtol=1e-11, atol=1e-13)
    inner = [sum((a[key] * b[key]).sum() for key in params) for a, b in ((directions[1], Hu), (directions[0], Hv))]
    assert inner[0] == pytest.approx(inner[1], rel=1e-12)


def test_a_closure_over_the_same_array_is_a_constant(B):
    with on(B, np.asarray(3.0)) as x:
        assert float(B.to_numpy(B.grad(lambda y: y * x)(x))) == 3.0
        _, pullback = B.vjp(lambda y: y * x, x)
        assert float(B.to_numpy(pullback(x)[0])) == 9.0


def test_jvp_and_vjp_are_dual(B):
    rng = np.random.default_rng(0)
    x, t, u = rng.standard_normal((3, 4))
    with on(B, (x, t, u)) as (x, t, u):

        def f(x):
            return B.xp.sin(x) * B.xp.sum(x * x)

        value, tangent = B.jvp(f, (x,), (t,))
        same, pullback = B.vjp(f, x)
        assert (B.to_numpy(value) == B.to_numpy(same)).all()
        assert float(B.to_numpy(B.xp.sum(u * tangent))) == pytest.approx(
            float(B.to_numpy(B.xp.sum(pullback(u)[0] * t))), rel=1e-13
        )


def test_scan_vmap_checkpoint(B):
    xs = np.arange(6.0).reshape(3, 2)
    with on(B, (xs, np.asarray(1.0))) as (xs_, one):

        def step(carry, x):
            return carry * 0.5 + B.xp.sum(x), {"twice": carry * 2}

        carry, ys = B.scan(step, one, xs_)
        assert float(B.to_numpy(carry)) == ((0.5 + 1) * 0.5 + 5) * 0.5 + 9
        assert B.to_numpy(ys["twice"]).tolist() == [2.0, 3.0, 11.5]
        inside = B.compile(lambda c, xs: B.scan(step, c, xs))(one, xs_)
        assert B.to_numpy(inside[1]["twice"]).tolist() == [2.0, 3.0, 11.5]
        assert B.to_numpy(B.vmap(lambda x: B.xp.sum(x * one))(xs_)).tolist() == [1.0, 5.0, 9.0]
        f = B.checkpoint(lambda x: B.xp.sin(x) ** 2)
        assert float(B.to_numpy(B.grad(f)(one))) == pytest.approx(np.sin(2.0))


def test_a_compiled_scan_carries_and_returns_a_leaf_without_entries(B):
    def step(carry, x):
        return {"a": carry["a"] + x, "empty": carry["empty"] * 2}, {"a": carry["a"], "empty": carry["empty"]}

    with on(B, (np.arange(20.0), np.asarray(0.0), np.zeros((0, 3)))) as (xs, zero, empty):
        carry, ys = B.compile(lambda c, xs: B.scan(step, c, xs))({"a": zero, "empty": empty}, xs)
        assert float(B.to_numpy(carry["a"])) == 190
        assert B.to_numpy(ys["a"]).tolist() == [n * (n - 1) / 2 for n in range(20)]
        assert carry["empty"].shape == (0, 3)
        assert ys["empty"].shape == (20, 0, 3)
