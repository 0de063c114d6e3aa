"""Means over the tasks of all ranks: sum_r sum_t delta_t / n, n the number of tasks of all of them.

It is not the mean of the ranks' means, where their shares differ in size. One reduction does it, and in it every rank
says how it fared: one whose own part failed takes part with zeros, so that none waits for it.
"""

from collections.abc import Callable
from typing import Any

import numpy

from metaspec.backend.arrays import wide_format
from metaspec.backend.protocol import Backend
from metaspec.errors import MetaspecError, NonFiniteError, RankError
from metaspec.ranks.group import RankGroup, current
from metaspec.ranks.watch import TEXT
from metaspec.task import Array, Tree
from metaspec.trees import divide, like, scale, zeros_like

FINE, FAILED, NOT_FINITE, STOPPED = range(4)


class StoppedError(MetaspecError):
    """A callback of rank 0 has ended the training: not an error, and never seen by a caller."""


def sum_over_ranks(
    ranks: RankGroup, params: Tree, own: Callable[[], tuple[Tree, Array, int]]
) -> tuple[Tree, Array, int]:
    """Return the sums of deltas and query losses and the number of tasks, over all ranks.

    Args:
        ranks: The ranks.
        params: What `delta` is like: a tree of arrays.
        own: Gives this rank's sums (delta, query loss) and number of tasks.

    Raises:
        NonFiniteError, StoppedError, RankError: What `own` of another rank raised, with its rank; the same in all
            ranks. Where it was this rank's own, the error itself.
    """
    B, failure = ranks.B, None
    try:
        delta, query_loss, count = own()
    except Exception as error:
        failure, count, delta, query_loss = error, 0, zeros_like(B, params), None
    mine = numpy.zeros(ranks.count + 2, wide_format(B, params) or "float32")
    mine[ranks.index], mine[-2] = _fare(failure), count
    mine[-1] = 0 if query_loss is None else B.to_numpy(query_loss)
    delta, fares = ranks.all_reduce((delta, B.asarray(mine)))
    told: Any = B.to_numpy(fares)
    faulty = numpy.flatnonzero(told[:-2])
    if faulty.size:
        first = int(faulty[0])
        text = ranks.broadcast(f"{type(failure).__name__}: {failure}"[:TEXT].encode(), first).decode(errors="replace")
        if failure is not None:
            raise failure
        if told[first] == STOPPED:
            raise StoppedError(text)
        error_type = NonFiniteError if told[first] == NOT_FINITE else RankError
        raise error_type(f"rank {first} of {ranks.count} failed: {text}")
    return delta, B.xp.astype(fares[-1], query_loss.dtype), round(float(told[-2]))


def _fare(failure: Exception | None) -> int:
    if isinstance(failure, NonFiniteError):
        return NOT_FINITE
    if isinstance(failure, StoppedError):
        return STOPPED
    return FINE if failure is None else FAILED


def over_all_ranks(B: Backend, params: Tree, own: Callable[[], tuple[Any, int, Any]]) -> tuple[Any, int, Any]:
    """Return what `own` does, (mean over this rank's tasks, their number, ...), as the mean over all ranks' tasks."""
    rest: Any = None

    def sums() -> tuple[Tree, Array, int]:
        nonlocal rest
        r, count, pull_back = own()
        rest = r, pull_back
        return scale(B, count, r.delta), r.query_loss * count, count

    if all(B.is_concrete(leaf) for leaf in B.tree_flatten(params)[0]):
        delta, query_loss, total = sum_over_ranks(current(B), params, sums)
    else:  # no values to look at: within jax.shard_map
        delta, query_loss, count = sums()
        delta, query_loss, total = B.all_reduce((delta, query_loss, B.asarray(float(count))))
    r, pull_back = rest
    return (
        r._replace(delta=divide(B, delta, total), query_loss=query_loss / like(B, total, query_loss)),
        total,
        pull_back,
    )
