"""A Flax linen module as it is: `from_model` takes it with the variables that its `init` gave."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from jax.flatten_util import ravel_pytree

import metaspec as ms
from metaspec import data
from metaspec.training import Adam

LR, STEPS = 0.05, 3


class Net(linen.Module):
    """1-40-40-1."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs for inputs [N, 1]."""
        for _ in range(2):
            x = linen.tanh(linen.Dense(40)(x))
        return linen.Dense(1)(x)


variables = Net().init(jax.random.key(0), jnp.zeros((1, 1)))
model = ms.from_model(Net(), lambda net, batch: jnp.mean((net(batch["x"]) - batch["y"]) ** 2), variables=variables)


def unrolled(params: Any, tasks: ms.Task) -> Any:
    """Return the meta-gradient by JAX alone: jax.grad through the unrolled inner loop, the mean over tasks."""

    def after_adaptation(theta: Any, task: ms.Task) -> jax.Array:
        for _ in range(STEPS):
            theta = jax.tree.map(lambda p, g: p - LR * g, theta, jax.grad(model.loss)(theta, task.support))
        return model.loss(theta, task.query)

    return jax.jit(jax.grad(lambda params: jnp.mean(jax.vmap(after_adaptation, (None, 0))(params, tasks))))(params)


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and query losses, means of 20 steps."""
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="jax")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = ravel_pytree(unrolled(model.params, tasks))[0], {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        step = ms.compile(lambda params, tasks, algo=algo: ms.batch_meta_gradient(algo, model.loss, params, tasks))
        error = ravel_pytree(step(model.params, tasks).delta)[0] - expected
        distances[type(algo).__name__] = float(jnp.linalg.norm(error) / jnp.linalg.norm(expected))
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    adam = Adam(0.005)
    run = ms.meta_train(algo, model.loss, model.params, data.Sinusoid(), steps=60, tasks_per_step=8, optimizer=adam)
    losses = [record.query_loss for record in run.history]
    history = [sum(losses[k : k + 20]) / 20 for k in (0, 20, 40)]
    trained = model.restore(run.params)
    print(f"{type(trained).__name__}: query loss after adaptation, {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
