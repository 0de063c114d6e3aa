"""An Equinox module as it is: the module is the tree; what is no floating array is kept apart."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3


model = eqx.nn.MLP(1, 1, width_size=40, depth=2, activation=jnp.tanh, key=jax.random.key(0))
initial, static = eqx.partition(model, eqx.is_inexact_array)


def loss(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """Mean squared error of the module with these parameters."""
    return jnp.mean((jax.vmap(eqx.combine(params, static))(batch["x"]) - batch["y"]) ** 2)


def unrolled(params: Any, tasks: ms.Task) -> Any:
    """The same meta-gradient by JAX alone: jax.grad through the inner loop."""

    def after_adaptation(theta: Any, task: ms.Task) -> jax.Array:
        for _ in range(STEPS):
            theta = jax.tree.map(lambda p, g: p - LR * g, theta, jax.grad(loss)(theta, task.support))
        return loss(theta, task.query)

    return jax.jit(jax.grad(lambda params: jnp.mean(jax.vmap(after_adaptation, (None, 0))(params, tasks))))(params)


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and the query loss of each outer step."""
    params: Any = initial
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
