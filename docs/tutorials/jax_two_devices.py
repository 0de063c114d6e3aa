"""JAX with optax on two devices

The tasks of a meta-batch spread over devices, an optax transformation inside and outside. Needs `metaspec[jax]` and optax.
The two devices here are two halves of a processor; on GPUs or TPUs leave the first lines out.
"""

# %%
# The number of devices is XLA's, and has to be said before JAX is imported:

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

import metaspec as ms
from metaspec import data, plots

assert len(jax.devices()) == 2

# %%
# A loss in plain JAX. The inner rule is optax's, and is differentiated through as it is:


def loss(params, batch):
    hidden = jnp.tanh(batch["x"] @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - batch["y"]) ** 2)


keys = jax.random.split(jax.random.key(0))
params = {
    "w1": jax.random.normal(keys[0], (1, 40)),
    "b1": jnp.zeros(40),
    "w2": jax.random.normal(keys[1], (40, 1)) / 40**0.5,
}
algo = ms.MAML(ms.FromTransformation(optax.sgd(0.05), steps=3))

# %%
# `batch_meta_gradient` is pure and traceable, so the step is written and jitted as any other in JAX. Tasks lie along a
# mesh axis, parameters on every device; the compiler puts in the sum over devices:

mesh = Mesh(jax.devices(), ("tasks",))
over_tasks, everywhere = NamedSharding(mesh, Spec("tasks")), NamedSharding(mesh, Spec())
adam = optax.adam(0.005)


@jax.jit
def step(params, state, tasks):
    r = ms.batch_meta_gradient(algo, loss, params, tasks)
    updates, state = adam.update(r.delta, state, params)
    return optax.apply_updates(params, updates), state, r.query_loss


source = data.Sinusoid()
tasks = jax.device_put(ms.asarray(source.batch(step=0, size=16), backend="jax"), over_tasks)
print(tasks.support["x"].sharding)

# %%
# Two devices give what one gives, to roundoff:

spread = jax.jit(lambda p, t: ms.batch_meta_gradient(algo, loss, p, t).delta)(jax.device_put(params, everywhere), tasks)
alone = ms.batch_meta_gradient(algo, loss, params, jax.device_put(tasks, jax.devices()[0])).delta
for name in params:
    np.testing.assert_allclose(spread[name], alone[name], rtol=1e-4, atol=1e-5)

# %%
# Training:

params, state = jax.device_put(params, everywhere), jax.device_put(adam.init(params), everywhere)
history = []
for k in range(200):
    tasks = jax.device_put(ms.asarray(source.batch(step=k, size=16), backend="jax"), over_tasks)
    params, state, query_loss = step(params, state, tasks)
    history.append(float(query_loss))
stretches = np.reshape(history, (10, 20))
means, half = stretches.mean(1), 1.96 * stretches.std(1, ddof=1) / 20**0.5
line = plots.Curve("", list(range(20, 201, 20)), means.tolist(), half.tolist())
plots.save(plots.curves([line], y="query loss after adaptation"), "two_devices.svg")
print(f"query loss {means[0]:.3f} -> {means[-1]:.3f}")
assert means[-1] < 0.8 * means[0]

# %%
# ![Query loss over the outer steps](pictures/two_devices.svg)
#
# `ms.meta_train(..., optimizer=optax.adam(0.005))` does the same loop on one device, with checkpoints and evaluations.
# Inside `jax.shard_map` each device computes the meta-gradient of its own tasks, and the mean is yours to take:
# `jax.lax.pmean(delta, "tasks")`.
