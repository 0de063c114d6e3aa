"""Tasks spread over two devices: shard_map and explicit meshes, against one device. In a process that has two."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

SETTING = """
import jax, jax.numpy as jnp, numpy as np, metaspec as ms
from jax.sharding import PartitionSpec as PS
rng = np.random.default_rng(0)
draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
tasks = ms.Task(*({"x": draw(4, 6, 4), "y": draw(4, 6)} for _ in "ab"))
params = {"w": jnp.asarray(rng.normal(size=(4, 6))), "v": jnp.asarray(rng.normal(size=6))}
loss = lambda p, b: jnp.mean((jnp.tanh(b["x"] @ p["w"]) @ p["v"] - b["y"]) ** 2)
gd = ms.GradientDescent(0.3, 2)
algos = [ms.MAML(gd), ms.FOMAML(gd), ms.Reptile(gd),
         ms.IMAML(gd, regularization=2.0, solver=ms.ConjugateGradient(steps=3))]

def close(a, b):
    pairs = zip(*map(jax.tree.leaves, (a, b)), strict=True)
    worst = max(float(abs(np.asarray(x) - np.asarray(y)).max()) for x, y in pairs)
    assert worst < 1e-13, worst

def refused(f, *words):
    try:
        f()
    except ms.MetaspecError as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) == 1
    else:
        raise AssertionError("not refused")
"""

SHARD_MAP = """
mesh = jax.sharding.Mesh(jax.devices(), ("t",))
def over(f, data=PS("t"), **options):
    return jax.jit(jax.shard_map(f, mesh=mesh, in_specs=(PS(), data), out_specs=PS(), **options))
for algo in algos:
    whole = ms.batch_meta_gradient(algo, loss, params, tasks).delta
    meta = lambda p, t: jax.lax.pmean(ms.batch_meta_gradient(algo, loss, p, t).delta, "t")
    close(over(meta)(params, tasks), whole)
    close(over(meta, check_vma=False)(params, tasks), whole)
    close(over(lambda p, t: ms.batch_meta_gradient(algo, loss, p, t).delta, PS())(params, tasks), whole)
    one = lambda p, t: jax.lax.pmean(ms.meta_gradient(algo, loss, p, jax.tree.map(lambda x: x[0], t)).delta, "t")
    rows = [ms.meta_gradient(algo, loss, params, jax.tree.map(lambda x: x[i], tasks)).delta for i in (0, 2)]
    close(over(one)(params, tasks), jax.tree.map(lambda a, b: (a + b) / 2, *rows))
    first = lambda p, t: jax.lax.pmean(ms.adapt(algo, loss, p, jax.tree.map(lambda x: x[0], t.support)), "t")
    rows = [ms.adapt(algo, loss, params, jax.tree.map(lambda x: x[i], tasks.support)) for i in (0, 2)]
    close(over(first)(params, tasks), jax.tree.map(lambda a, b: (a + b) / 2, *rows))

only = jax.tree.map(lambda x: x[0], tasks)
def closed_over(p, t):  # the batch is the same on all devices, what the loss reads beside it is not
    own = jax.tree.map(lambda x: x[0], t.support)
    return ms.meta_gradient(algos[0], lambda p, b: loss(p, own), p, only).delta
refused(lambda: over(closed_over)(params, tasks), "within jax.shard_map", "['t']", "pcast")
"""

EXPLICIT = """
mesh = jax.make_mesh((2,), ("t",), axis_types=(jax.sharding.AxisType.Explicit,))
put = lambda tree, *spec: jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(mesh, PS(*spec))), tree)
everywhere, spread = put(params), put(tasks, "t")
columns = {"w": put(params["w"], None, "t"), "v": put(params["v"], "t")}
for algo in algos:
    meta = lambda p, t: ms.batch_meta_gradient(algo, loss, p, t).delta
    whole = meta(params, tasks)
    refused(lambda: meta(everywhere, spread), "with jax.set_mesh(mesh)")
    close(ms.compile(meta)(everywhere, spread), whole)
    with jax.set_mesh(mesh):
        close(meta(everywhere, spread), whole)
        refused(lambda: meta(columns, put(tasks)), "out_sharding", "AxisType.Auto")
    refused(lambda: ms.compile(meta)(columns, spread), "spread over devices", "AxisType.Auto")
"""


REDUCED = """
mesh = jax.sharding.Mesh(jax.devices(), ("t",))
put = lambda tree, *spec: jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(mesh, PS(*spec))), tree)
one = ms.batch_meta_gradient(algos[0], loss, params, tasks)
def shared(params, tasks):
    r = ms.batch_meta_gradient(algos[0], loss, params, tasks, distributed=True)
    return r.delta, r.query_loss
both = jax.jit(jax.shard_map(shared, mesh=mesh, in_specs=(PS(), PS("t")), out_specs=PS()))(params, tasks)
close(both, (one.delta, one.query_loss))

parts = {"w": put(params["w"], None, "t"), "v": put(params["v"], "t")}  # each device has half of the entries
meta = ms.compile(lambda params, tasks: ms.batch_meta_gradient(algos[3], loss, params, tasks).delta, backend="jax")
delta = meta(parts, put(tasks))
close(delta, ms.batch_meta_gradient(algos[3], loss, params, tasks).delta)

class Four:
    def task(self, index): return jax.tree.map(lambda x: np.asarray(x[index % 4]), tasks)
    def batch(self, step, size): return jax.tree.map(lambda *x: np.stack(x), *map(self.task, range(size)))
train = lambda params: ms.meta_train(algos[1], loss, params, Four(), steps=3, tasks_per_step=4, check=False)
alone = train(params).params
for placed in (put(params), parts):  # tasks are spread; parameters and the optimiser's moments are
    run = train(placed)
    close(run.params, alone)
    for leaf, before in zip(jax.tree.leaves(run.params), jax.tree.leaves(placed)):
        assert leaf.sharding.is_equivalent_to(before.sharding, leaf.ndim), (leaf.sharding, before.sharding)
"""


@pytest.mark.parametrize("program", [SHARD_MAP, EXPLICIT, REDUCED], ids=["shard_map", "explicit", "reduced"])
def test_two_devices_give_what_one_gives(program):
    done = subprocess.run(
        [sys.executable, "-c", SETTING + program],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
