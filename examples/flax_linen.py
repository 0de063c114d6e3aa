"""A Flax linen module as it is: its variables are a tree, its forward pass is model.apply."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from jax.flatten_util import ravel_pytree

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3


class Net(linen.Module):
    """1-40-40-1."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs for inputs [N, 1]."""
        for _ in range(2):
            x = linen.tanh(linen.Dense(40)(x))
        return linen.Dense(1)(x)


model = Net()


def loss(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """Mean squared error of the module with these parameters."""
    outputs: Any = model.apply({"params": params}, batch["x"])
    return jnp.mean((outputs - batch["y"]) ** 2)


def unrolled(params: Any, tasks: ms.Task) -> Any:
    """The same meta-gradient by JAX alone: jax.grad through the inner loop."""

    def after_adaptation(theta: Any, task: ms.Task) -> jax.Array:
        for _ in range(STEPS):
            theta = jax.tree.map(lambda p, g: p - LR * g, theta, jax.grad(loss)(theta, task.support))
        return loss(theta, task.query)

    return jax.jit(jax.grad(lambda params: jnp.mean(jax.vmap(after_adaptation, (None, 0))(params, tasks))))(params)


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and the query loss of each outer step."""
    params = model.init(jax.random.key(0), jnp.zeros((1, 1)))["params"]
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="jax")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = ravel_pytree(unrolled(params, tasks))[0], {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        step = ms.compile(lambda params, tasks, algo=algo: ms.batch_meta_gradient(algo, loss, params, tasks))
        error = ravel_pytree(step(params, tasks).delta)[0] - expected
        distances[type(algo).__name__] = float(jnp.linalg.norm(error) / jnp.linalg.norm(expected))
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    history = []
    for _ in range(10):
        r = step(params, tasks)
        params = jax.tree.map(lambda p, d: p - 0.01 * d, params, r.delta)
        history.append(float(r.query_loss))
    print(f"query loss after adaptation: {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
