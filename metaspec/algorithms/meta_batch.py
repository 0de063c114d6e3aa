"""Computation of a meta-batch: all tasks at once, in chunks one after the other, or task by task.

Tasks computed at once share the cost of every call; but each has parameters of its own, and with them gradients,
tangents and cotangents, which must fit the processor's caches together. So there is a best number of bytes of
parameters at a time, which depends on the framework and the device and hardly on anything else:
`Tuning.batch_bytes`, measured.
"""

from collections.abc import Callable
from math import ceil, prod
from typing import Any

from metaspec.backend.protocol import Backend, bytes_of
from metaspec.task import Array, MetaGradient, Task, Tree
from metaspec.trees import add, divide, mean0, sum0, tree_map, zeros_like


def chosen_chunk(B: Backend, params: Tree, count: int) -> int:
    """Return how many tasks to compute at a time: what `batch_bytes` has room for, in chunks of nearly one size."""
    room = B.tuning.batch_bytes(params)
    if room is None:
        return count
    size = sum(prod(leaf.shape) * bytes_of(B.dtype_name(leaf)) for leaf in B.tree_flatten(params)[0])
    at_once = min(count, max(1, room // max(1, size)))
    return ceil(count / ceil(count / at_once))


def over_tasks(
    B: Backend, f: Callable[[Task], MetaGradient], params: Tree, tasks: Task, count: int, chunk: int
) -> MetaGradient:
    """Return f of `count` stacked tasks, `chunk` at a time: `delta` and `query_loss` averaged, the rest stacked."""
    if chunk >= count:
        r = B.tuning.map_tasks(f)(tasks)
        return r._replace(delta=mean0(B, r.delta), query_loss=mean0(B, r.query_loss))

    def parts(task: Task) -> tuple[Tree, MetaGradient]:
        r = f(task)
        return r.delta, r._replace(delta=None)

    total, rows = _in_chunks(B, parts, zeros_like(B, params), tasks, count, chunk)
    return rows._replace(delta=divide(B, total, count), query_loss=mean0(B, rows.query_loss))


def each_task(B: Backend, f: Callable[[Task], Tree], params: Tree, tasks: Task) -> Tree:
    """Return f of every one of the stacked tasks, stacked.

    As many at a time as `chosen_chunk` says, unless the loop would be written out: a recording would grow with it.
    """
    count = B.tree_flatten(tasks)[0][0].shape[0]
    chunk = count if B.tuning.unroll_limit("state") is None else chosen_chunk(B, params, count)
    if chunk >= count:
        return B.tuning.map_tasks(f)(tasks)
    return _in_chunks(B, lambda task: ((), f(task)), (), tasks, count, chunk)[1]


def _in_chunks(
    B: Backend, f: Callable[[Task], tuple[Tree, Any]], zero: Tree, tasks: Task, count: int, chunk: int
) -> tuple[Tree, Any]:
    """The sum over tasks of what f returns first, from `zero` on, and what it returns second, stacked."""

    def step(total: Tree, part: Task) -> tuple[Tree, Any]:
        summand, row = f(part) if chunk == 1 else B.tuning.map_tasks(f)(part)
        return add(B, total, summand if chunk == 1 else sum0(B, summand)), row

    whole = count - count % chunk
    parts = tasks if chunk == 1 else tree_map(B, lambda x: _split(B, x[:whole, ...], chunk), tasks)
    total, rows = B.scan(step, zero, parts)
    if chunk > 1:
        rows = tree_map(B, lambda x: _joined(B, x), rows)
    if whole < count:
        summands, others = B.tuning.map_tasks(f)(tree_map(B, lambda x: x[whole:, ...], tasks))
        total = add(B, total, sum0(B, summands))
        rows = tree_map(B, lambda a, b: B.xp.concat([a, b], axis=0), rows, others)
    return total, rows


def _split(B: Backend, x: Array, chunk: int) -> Array:
    return B.xp.reshape(x, (x.shape[0] // chunk, chunk, *x.shape[1:]))


def _joined(B: Backend, x: Array) -> Array:
    return B.xp.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))
