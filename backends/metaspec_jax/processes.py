"""Processes of jax.distributed, and devices within `jax.shard_map`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy

from metaspec.backend.reducing import check_op
from metaspec.task import Array, Tree
from metaspec_jax import _private

CLUSTERS = ("JAX_COORDINATOR_ADDRESS", "SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri")
WITHIN: dict[str, Any] = {"sum": jax.lax.psum, "max": jax.lax.pmax, "min": jax.lax.pmin}


def process() -> tuple[int, int]:
    """Return process index and count where `jax.distributed.initialize` was called."""
    if not jax.distributed.is_initialized():
        return 0, 1
    return jax.process_index(), jax.process_count()


def over_axes(tree: Tree, op: str) -> Tree:
    """Reduce over the mesh's axes of the `jax.shard_map` that this is called in."""
    check_op(op)
    axes = tuple(jax.sharding.get_abstract_mesh().manual_axes)
    return jax.tree.map(lambda x: WITHIN[op](_varying(x, axes), axes), tree)


def _varying(x: Array, axes: tuple[str, ...]) -> Array:
    missing = tuple(axis for axis in axes if axis not in _private.varying(x))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def sum_vector(x: Array) -> Array:
    """Return the sum of x over all processes, by one device of each."""
    sharding, add = _engine()
    mine = jax.device_put(x[None], sharding.mesh.devices[jax.process_index()])
    rows = jax.make_array_from_single_device_arrays((jax.process_count(), *x.shape), sharding, [mine])
    return jax.device_put(add(rows).addressable_data(0), next(iter(x.devices())))


@cache
def _engine() -> tuple[jax.NamedSharding, Any]:
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = jax.sharding.Mesh(numpy.array([first[i] for i in sorted(first)]), ("processes",))
    parts, whole = (jax.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in (("processes",), ()))
    return parts, jax.jit(lambda rows: jnp.sum(rows, axis=0, dtype=rows.dtype), out_shardings=whole)


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """Join the processes of a cluster that JAX knows (Slurm, Open MPI, a coordinator's address), or of an mpiexec."""
    if jax.distributed.is_initialized():
        yield
        return
    seconds: dict[str, Any] = {"initialization_timeout": int(timeout), "shutdown_timeout_seconds": int(timeout)}
    if any(name in os.environ for name in CLUSTERS):
        jax.distributed.initialize(**seconds)
    elif "PMI_SIZE" in os.environ:
        jax.distributed.initialize(cluster_detection_method="mpi4py", **seconds)
    else:
        yield
        return
    yield
    jax.distributed.shutdown()  # not after an error: it would wait for processes that have ended
