"""`from_model` of Equinox modules, against the module's own forward pass and `jax.grad`."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

import jax.numpy as jnp  # noqa: E402

import metaspec as ms  # noqa: E402
from metaspec.errors import MutationError  # noqa: E402
from tests.models.problems import LR, arrays, close  # noqa: E402

TASK = ms.asarray(arrays(), backend="jax")


def mse(model, batch):
    return jnp.mean((jax.vmap(model)(batch["x"]) - batch["y"]) ** 2)


def test_loss_and_meta_gradient_are_the_modules_own():
    model = eqx.nn.MLP(2, 1, width_size=3, depth=1, activation=jnp.tanh, key=jax.random.key(0))
    m = ms.from_model(model, mse)
    value, gradient = eqx.filter_value_and_grad(mse)(model, TASK.support)
    close(m.loss(m.params, TASK.support), value)
    adapted = eqx.apply_updates(model, jax.tree.map(lambda g: -LR * g, gradient))
    expected = jax.tree.leaves(eqx.filter_grad(mse)(adapted, TASK.query))
    r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(LR, 1)), m.loss, m.params, TASK)
    assert len(jax.tree.leaves(r.delta)) == len(expected) == 4
    for found, leaf in zip(jax.tree.leaves(r.delta), expected, strict=True):
        close(found, leaf)
    moved = m.restore(jax.tree.map(lambda p: p + 1, m.params))
    assert isinstance(moved, eqx.nn.MLP)
    np.testing.assert_array_equal(moved.layers[0].weight, model.layers[0].weight + 1)
    assert moved.activation is model.activation


def test_state_is_the_losss_own_business():
    class Net(eqx.Module):
        first: eqx.nn.Linear
        norm: eqx.nn.BatchNorm

        def __init__(self) -> None:
            self.first = eqx.nn.Linear(2, 1, key=jax.random.key(0))
            self.norm = eqx.nn.BatchNorm(1, axis_name="batch", mode="batch")

        def __call__(self, x, state):
            return self.norm(self.first(x), state)

    with pytest.raises(MutationError, match=r"make it with equinox.nn.make_with_state"):
        ms.from_model(Net(), mse)
    model, state = eqx.nn.make_with_state(Net)()

    def loss(model, batch):
        outputs, _ = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(batch["x"], state)
        return jnp.mean((outputs - batch["y"]) ** 2)

    m = ms.from_model(model, loss)
    assert len(jax.tree.leaves(m.params)) == 4
    close(m.loss(m.params, TASK.support), loss(model, TASK.support))
