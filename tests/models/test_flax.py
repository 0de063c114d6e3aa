"""`from_model` of Flax modules, nnx and linen, against the modules' own forward passes and `jax.grad`."""

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402
from flax import linen, nnx  # noqa: E402

import metaspec as ms  # noqa: E402
from metaspec.errors import InvalidTypeError, MutationError  # noqa: E402
from tests.models.problems import LR, arrays, close, unchanged  # noqa: E402

TASK = ms.asarray(arrays(), backend="jax")
TASKS = ms.asarray(ms.Task(*({k: np.stack([v, 2 * v]) for k, v in part.items()} for part in arrays())), backend="jax")
MAML = ms.MAML(ms.GradientDescent(LR, 1))


def mse(model, batch):
    return jnp.mean((model(batch["x"]) - batch["y"]) ** 2)


class Nnx(nnx.Module):
    def __init__(self, middle: Any = None) -> None:
        rngs = nnx.Rngs(0)
        self.first, self.middle, self.last = nnx.Linear(2, 3, rngs=rngs), middle, nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        return self.last(nnx.tanh(x if self.middle is None else self.middle(x)))


class Linen(linen.Module):
    norm: bool = False
    dropout: bool = False

    @linen.compact
    def __call__(self, x, average: bool = False):
        x = linen.Dense(3)(x)
        if self.norm:
            x = linen.BatchNorm(use_running_average=average)(x)
        if self.dropout:
            x = linen.Dropout(0.5, deterministic=False)(x)
        return linen.Dense(1)(linen.tanh(x))


def leaves(tree):
    return {jax.tree_util.keystr(path): np.array(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def unrolled(loss, params):
    def after(params):
        theta = jax.tree.map(lambda p, g: p - LR * g, params, jax.grad(loss)(params, TASK.support))
        return loss(theta, TASK.query)

    return jax.jit(jax.grad(after))(params)


def same_trees(found, expected):
    found, expected = leaves(found), leaves(expected)
    assert found.keys() == expected.keys()
    for name, leaf in expected.items():
        close(found[name], leaf)


def test_nnx_loss_and_meta_gradient_are_the_modules_own():
    model = Nnx()
    before, m = leaves(nnx.state(model)), ms.from_model(model, mse)
    value, gradient = nnx.value_and_grad(mse)(model, TASK.support)
    close(m.loss(m.params, TASK.support), value)
    same_trees(jax.grad(m.loss)(m.params, TASK.support), gradient)
    same_trees(ms.meta_gradient(MAML, m.loss, m.params, TASK).delta, unrolled(m.loss, m.params))
    unchanged(before, leaves(nnx.state(model)))
    moved = jax.tree.map(lambda p: p + 1, m.params)
    assert m.restore(moved) is model
    same_trees(nnx.state(model, nnx.Param), moved)
    unchanged(before, leaves(m.params))


def test_nnx_running_statistics_are_refused_or_left():
    model = Nnx(nnx.BatchNorm(3, rngs=nnx.Rngs(0)))
    before = leaves(nnx.state(model))
    with pytest.raises(MutationError, match=r'running statistics \(middle.mean, middle.var\).*"leave"'):
        ms.meta_gradient(MAML, *_of(ms.from_model(model, mse)), TASK)
    m = ms.from_model(model, mse, running_statistics="leave")
    assert not any("mean" in name for name in leaves(m.params))
    r = ms.compile(lambda params, tasks: ms.batch_meta_gradient(MAML, m.loss, params, tasks))(m.params, TASKS)
    assert bool(jnp.all(r.diagnostics.finite))
    unchanged(before, leaves(nnx.state(model)))
    close(m.loss(m.params, TASK.support), mse(model, TASK.support))
    model.eval()
    frozen = ms.from_model(model, mse)
    close(frozen.loss(frozen.params, TASK.support), mse(model, TASK.support))


def test_nnx_random_numbers_and_other_state_are_refused():
    m = ms.from_model(Nnx(nnx.Dropout(0.5, rngs=nnx.Rngs(1))), mse, running_statistics="leave")
    with pytest.raises(MutationError, match=r"draws random numbers \(middle.rngs"):
        m.loss(m.params, TASK.support)

    class Counting(nnx.Module):
        def __init__(self) -> None:
            self.calls = nnx.Cache(jnp.array(0))

        def __call__(self, x):
            self.calls.set_value(self.calls.get_value() + 1)
            return x

    m = ms.from_model(Nnx(Counting()), mse, running_statistics="leave")
    with pytest.raises(MutationError, match=r"altered middle.calls"):
        m.loss(m.params, TASK.support)


def test_linen_loss_and_meta_gradient_are_the_modules_own():
    model = Linen()
    variables = model.init(jax.random.key(0), TASK.support["x"])
    m = ms.from_model(model, mse, variables=variables)

    def own(params, batch):
        return jnp.mean((model.apply({"params": params}, batch["x"]) - batch["y"]) ** 2)

    close(m.loss(m.params, TASK.support), own(variables["params"], TASK.support))
    same_trees(jax.grad(m.loss)(m.params, TASK.support), jax.grad(own)(variables["params"], TASK.support))
    same_trees(ms.meta_gradient(MAML, m.loss, m.params, TASK).delta, unrolled(own, variables["params"]))
    moved = jax.tree.map(lambda p: p + 1, m.params)
    assert m.restore(moved).keys() == variables.keys()
    same_trees(m.restore(moved)["params"], moved)


def test_linen_running_statistics_are_refused_or_left():
    model = Linen(norm=True)
    variables = model.init(jax.random.key(0), TASK.support["x"])
    before = leaves(variables)
    refused = ms.from_model(model, mse, variables=variables)
    with pytest.raises(MutationError, match=r'running statistics \(collections batch_stats\).*"leave"'):
        refused.loss(refused.params, TASK.support)
    m = ms.from_model(model, mse, variables=variables, running_statistics="leave")
    outputs, _ = model.apply(variables, TASK.support["x"], mutable=["batch_stats"])
    close(m.loss(m.params, TASK.support), jnp.mean((outputs - TASK.support["y"]) ** 2))
    r = ms.compile(lambda params, tasks: ms.batch_meta_gradient(MAML, m.loss, params, tasks))(m.params, TASKS)
    assert bool(jnp.all(r.diagnostics.finite))
    unchanged(before, leaves(m.restore(m.params)))

    def averaged(model, batch):
        return jnp.mean((model(batch["x"], average=True) - batch["y"]) ** 2)

    frozen = ms.from_model(model, averaged, variables=variables)
    outputs = model.apply(variables, TASK.support["x"], average=True)
    close(frozen.loss(frozen.params, TASK.support), jnp.mean((outputs - TASK.support["y"]) ** 2))


def test_linen_random_numbers_and_a_module_alone_are_refused():
    model = Linen(dropout=True)
    variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, TASK.support["x"])
    m = ms.from_model(model, mse, variables=variables)
    with pytest.raises(MutationError, match="draws random numbers .*deterministic=True"):
        m.loss(m.params, TASK.support)
    with pytest.raises(InvalidTypeError, match=r"pass variables=module.init\(key, example\)"):
        ms.from_model(Linen(), mse)


def _of(m):
    return m.loss, m.params
