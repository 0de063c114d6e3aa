"""Reduction over processes for engines that sum one vector: what adapters' `all_reduce` is made of."""

from collections.abc import Callable
from math import prod
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError
from metaspec.task import Array, Tree

OPS = ("sum", "max", "min")


def reduced(B: Backend, tree: Tree, op: str, sum_vector: Callable[[Array], Array]) -> Tree:
    """Reduce a tree by the engine's sum of vectors, called once for each dtype and device of the leaves.

    "max" and "min" sum a table with a row for each process, zero but for its own: they are for small trees.

    Args:
        B: The backend.
        tree: Arrays of the backend.
        op: "sum", "max" or "min".
        sum_vector: Vector -> its sum over all processes, the same bits in each.

    Raises:
        InvalidArgumentError: Another `op`; arrays without values, as in a compiled function.
    """
    check_op(op)
    index, count = B.process()
    leaves, structure = B.tree_flatten(tree)
    if not all(map(B.is_concrete, leaves)):
        raise InvalidArgumentError(
            "all_reduce: processes exchange values, and within a compiled or transformed function there are none; "
            "compile what each process computes, and reduce its results outside (batch_meta_gradient: "
            "distributed=True outside of ms.compile; meta_train does so by itself)"
        )
    if count == 1:
        return tree
    xp = B.xp
    results: dict[int, Array] = {}
    kinds = [(B.dtype_name(leaf), str(getattr(leaf, "device", ""))) for leaf in leaves]
    for kind in dict.fromkeys(kinds):
        places = [i for i, own in enumerate(kinds) if own == kind]
        vector = xp.concat([xp.reshape(leaves[i], (-1,)) for i in places])
        if op == "sum":
            vector = sum_vector(vector)
        else:
            table = xp.stack([vector if rank == index else xp.zeros_like(vector) for rank in range(count)])
            rows = xp.reshape(sum_vector(xp.reshape(table, (-1,))), tuple(table.shape))
            vector = getattr(xp, op)(rows, axis=0)
        start = 0
        for i in places:
            size = prod(leaves[i].shape)
            results[i] = xp.reshape(vector[start : start + size], tuple(leaves[i].shape))
            start += size
    return B.tree_unflatten(structure, [results[i] for i in range(len(leaves))])


def check_op(op: Any) -> None:
    """Raise InvalidArgumentError unless `op` names a reduction."""
    if op not in OPS:
        raise InvalidArgumentError(f"all_reduce: op must be one of {', '.join(OPS)}, got {op!r}")
