"""JAX: pure functions, vmap over tasks, scan over steps."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def predict(p, x):
    return jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


def mse(p, batch):
    x, y = batch
    return jnp.mean(jnp.square(predict(p, x) - y))


def adapt(p, batch, lr, steps):
    def step(p, _):
        return jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(mse)(p, batch)), None

    return lax.scan(step, p, None, length=steps)[0]


@partial(jax.jit, static_argnums=4)
def meta_loss(p, support, query, lr, steps):
    return jnp.mean(jax.vmap(lambda s, q: mse(adapt(p, s, lr, steps), q))(support, query))


def maml(params, stacked, lr, steps):
    return jax.grad(meta_loss)(params, tuple(stacked.support), tuple(stacked.query), lr, steps)


def maml_ragged(params, tasks, loss, lr, steps):
    """Any number of examples: a Python loop over the tasks, the caller's loss."""

    def one(p, task):
        for _ in range(steps):
            p = jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p, task.support))
        return loss(p, task.query)

    return jax.grad(lambda p: sum(one(p, t) for t in tasks) / len(tasks))(params)


def maml_sgd(params, task, loss, lr, steps, outer_lr):
    """One task at a time, and the parameters after a step of gradient descent."""

    def objective(p):
        inner = p
        for _ in range(steps):
            inner = jax.tree.map(lambda a, g: a - lr * g, inner, jax.grad(loss)(inner, task.support))
        return loss(inner, task.query)

    return jax.tree.map(lambda a, g: a - outer_lr * g, params, jax.grad(objective)(params))


def stopped(params, tasks, loss, lr, steps):
    def one(p, task):
        for _ in range(steps):
            g = lax.stop_gradient(jax.grad(loss)(p, task.support))
            p = jax.tree.map(lambda a, b: a - lr * b, p, g)
        return loss(p, task.query)

    return jax.grad(lambda p: sum(one(p, t) for t in tasks) / len(tasks))(params)


def stopped_parameters(params, tasks, loss, lr, steps):
    """The gradient is taken at stopped parameters: it is a constant, though nothing stops it."""

    def one(p, task):
        for _ in range(steps):
            g = jax.grad(loss)(lax.stop_gradient(p), task.support)
            p = jax.tree.map(lambda a, b: a - lr * b, p, g)
        return loss(p, task.query)

    return jax.grad(lambda p: sum(one(p, t) for t in tasks))(params)


def stopped_from_second(params, tasks, loss, lr, steps):
    """The first step is exact; from the second on the gradients are constants."""

    def one(p, task):
        for k in range(steps):
            g = jax.grad(loss)(p, task.support)
            g = g if k < 1 else lax.stop_gradient(g)
            p = jax.tree.map(lambda a, b: a - lr * b, p, g)
        return loss(p, task.query)

    return jax.grad(lambda p: sum(one(p, t) for t in tasks) / len(tasks))(params)


def wrong_leaves(params, tasks, loss, lr, steps):
    """Leaves out of one tree's order into another's: the two biases change places, and so do the two matrices."""

    def one(p, task):
        for _ in range(steps):
            p = jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p, task.support))
        return loss(p, task.query)

    g = jax.grad(lambda p: sum(one(p, t) for t in tasks) / len(tasks))(params)
    return dict(zip(["b2", "b1", "w2", "w1"], jax.tree.leaves(g), strict=True))


def half(params, tasks, lr, steps):
    """Computed in float32."""
    p32, t32 = jax.tree.map(lambda a: a.astype(jnp.float32), (params, tasks))

    def one(p, task):
        for _ in range(steps):
            p = jax.tree.map(lambda a, g: a - jnp.float32(lr) * g, p, jax.grad(mse)(p, task.support))
        return mse(p, task.query)

    g = jax.grad(lambda p: sum(one(p, t) for t in t32) / len(t32))(p32)
    return jax.tree.map(lambda a: a.astype(jnp.float64), g)


def reptile(params, stacked, lr, steps):
    both = jax.tree.map(lambda s, q: jnp.concatenate([s, q], axis=1), tuple(stacked.support), tuple(stacked.query))
    ends = jax.vmap(lambda b: adapt(params, b, lr, steps))(both)
    return jax.tree.map(lambda p, e: p - e.mean(0), params, ends)


def reptile_summed(params, tasks, lr, steps, outer_lr):
    new = params
    for t in tasks:
        both = tuple(jnp.concatenate(pair) for pair in zip(t.support, t.query, strict=True))
        end = adapt(params, both, lr, steps)
        new = jax.tree.map(lambda n, e, p: n + outer_lr * (e - p), new, end, params)
    return new


def fomaml_without_last_update(params, tasks, loss, lr, steps):
    """The query's gradient one update too early: theta of the step before, with all K gradients computed."""
    total = jax.tree.map(jnp.zeros_like, params)
    for t in tasks:
        p = previous = params
        for _ in range(steps):
            previous = p
            p = jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p, t.support))
        total = jax.tree.map(lambda a, g: a + g / len(tasks), total, jax.grad(loss)(previous, t.query))
    return total


def query_at_middle(params, tasks, loss, lr, steps):
    """The query's gradient half way between where adaptation started and where it ended."""
    total = jax.tree.map(jnp.zeros_like, params)
    for t in tasks:
        p = params
        for _ in range(steps):
            p = jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p, t.support))
        middle = jax.tree.map(lambda a, b: 0.5 * (a + b), params, p)
        total = jax.tree.map(lambda a, g: a + g / len(tasks), total, jax.grad(loss)(middle, t.query))
    return total


def reward(params, tasks, loss, lr, steps):
    """First order, sum over tasks, and the sign of a quantity to be maximised."""
    total = jax.tree.map(jnp.zeros_like, params)
    for t in tasks:
        p = params
        for _ in range(steps):
            p = jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p, t.support))
        total = jax.tree.map(lambda a, g: a - g, total, jax.grad(loss)(p, t.query))
    return total


def nothing(params, tasks, loss, lr, steps):
    jax.grad(lambda p: sum(loss(p, t.query) for t in tasks))(params)


def infinite(params, tasks, loss, lr, steps):
    g = jax.grad(lambda p: sum(loss(p, t.query) for t in tasks) / len(tasks))(params)
    return jax.tree.map(lambda a: a / jnp.zeros(()), g)


calls = 0


def warmed_up(params, tasks, loss, lr, steps):
    """A schedule kept in the module: the scale of the gradient grows with every call."""
    global calls
    calls += 1
    g = maml_ragged(params, tasks, loss, lr, steps)
    return jax.tree.map(lambda a: a * (1 - 0.5**calls), g)
