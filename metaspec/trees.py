"""Arithmetic on trees of arrays, over any backend: what the formulas of the algorithms are written in.

Every function takes the backend `B` first. A scalar coefficient never changes a leaf's dtype.
"""

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError
from metaspec.task import Array, Tree


def tree_map(B: Backend, f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply f leaf by leaf to trees of one structure; InvalidArgumentError where structures differ."""
    leaves, structure = B.tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_structure = B.tree_flatten(other)
        _check_structure(structure, other_structure)
        columns.append(other_leaves)
    return B.tree_unflatten(structure, [f(*column) for column in zip(*columns, strict=True)])


def _check_structure(expected: Any, given: Any) -> None:
    if given != expected:
        raise InvalidArgumentError(f"trees of different structure: expected {expected}, got {given}")


def add(B: Backend, x: Tree, y: Tree) -> Tree:
    """Return x + y."""
    return tree_map(B, lambda a, b: a + b, x, y)


def subtract(B: Backend, x: Tree, y: Tree) -> Tree:
    """Return x - y."""
    return tree_map(B, lambda a, b: a - b, x, y)


def scale(B: Backend, c: Any, x: Tree) -> Tree:
    """Return c x for a Python number or a scalar array c."""
    return tree_map(B, lambda a: like(B, c, a) * a, x)


def divide(B: Backend, x: Tree, c: Any) -> Tree:
    """Return x / c for a Python number or a scalar array c."""
    return tree_map(B, lambda a: a / like(B, c, a), x)


def add_scaled(B: Backend, x: Tree, c: Any, y: Tree) -> Tree:
    """Return x + c y for a Python number or a scalar array c."""
    if B.is_array(c):
        return tree_map(B, lambda a, b: a + like(B, c, a) * b, x, y)
    (leaves, structure), (others, other_structure) = B.tree_flatten(x), B.tree_flatten(y)
    _check_structure(structure, other_structure)
    return B.tree_unflatten(structure, B.tuning.add_scaled(leaves, c, others))


def is_tree_of_arrays(B: Backend, x: Any) -> bool:
    """Return whether every leaf is an array; a function is a leaf that is none, unless its framework sees a tree."""
    return all(B.is_array(leaf) for leaf in B.tree_flatten(x)[0])


def like(B: Backend, c: Any, leaf: Array) -> Any:
    """Return a coefficient in the leaf's dtype; a Python number as it is."""
    return B.xp.astype(c, leaf.dtype, copy=False) if B.is_array(c) and c.dtype != leaf.dtype else c


def zeros_like(B: Backend, x: Tree) -> Tree:
    """Return zeros of x's structure, shapes and dtypes."""
    return tree_map(B, B.xp.zeros_like, x)


def dot(B: Backend, x: Tree, y: Tree) -> Array:
    """Return the inner product <x, y>, summed over all leaves."""
    products = [B.xp.sum(a * b) for a, b in zip(B.tree_flatten(x)[0], B.tree_flatten(y)[0], strict=True)]
    return reduce(B.xp.add, products)  # not `+`: leaves may differ in dtype


def norm(B: Backend, x: Tree) -> Array:
    """Return the Euclidean norm over all leaves, scaled by the largest entry so that no square over- or underflows."""
    largest = max_abs(B, x)
    nonzero = largest > 0
    safe = B.xp.where(nonzero, largest, B.xp.ones_like(largest))
    y = divide(B, x, safe)
    return B.xp.where(nonzero, safe * B.xp.sqrt(dot(B, y, y)), largest)


def max_abs(B: Backend, x: Tree) -> Array:
    """Return the largest magnitude of any entry; NaN where there is one; 0 of a tree without entries."""
    xp = B.xp
    leaves = B.tree_flatten(x)[0]
    sizes = [xp.max(xp.abs(leaf)) for leaf in leaves if 0 not in leaf.shape]
    return reduce(xp.maximum, sizes) if sizes else xp.sum(leaves[0])


def all_finite(B: Backend, *trees: Tree) -> Array:
    """Return whether no leaf of any tree has a NaN or an infinity, as a boolean scalar array."""
    return B.tuning.all_finite([leaf for tree in trees for leaf in B.tree_flatten(tree)[0]])


def mean0(B: Backend, x: Tree) -> Tree:
    """Return the mean along axis 0 of every leaf."""
    return tree_map(B, lambda leaf: B.xp.mean(leaf, axis=0), x)


def sum0(B: Backend, x: Tree) -> Tree:
    """Return the sum along axis 0 of every leaf."""
    return tree_map(B, lambda leaf: B.xp.sum(leaf, axis=0), x)


def concatenate(B: Backend, x: Tree, y: Tree) -> Tree:
    """Concatenate the leaves of x and y along axis 0."""
    return tree_map(B, lambda a, b: B.xp.concat([a, b], axis=0), x, y)


def ravel(B: Backend, tree: Tree) -> tuple[Array, Callable[[Array], Tree]]:
    """Return all entries in one vector, leaf after leaf, and the function that makes the tree of such a vector."""
    xp = B.xp
    leaves = B.tree_flatten(tree)[0]
    sizes = [prod(leaf.shape) for leaf in leaves]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]

    def unravel(vector: Array) -> Tree:
        parts = iter(zip(starts, sizes, strict=True))

        def part(leaf: Array) -> Array:
            start, size = next(parts)
            return xp.astype(xp.reshape(vector[start : start + size], leaf.shape), leaf.dtype, copy=False)

        return tree_map(B, part, tree)

    return xp.concat([xp.reshape(leaf, (size,)) for leaf, size in zip(leaves, sizes, strict=True)]), unravel


def row(B: Backend, x: Array, k: Any) -> Array:
    """Return x[k] along axis 0, the last row for k beyond it; k is a number or, under a trace, an integer array."""
    last = x.shape[0] - 1
    if isinstance(k, int):
        return x[min(k, last), ...]
    k = B.xp.minimum(k, B.xp.full_like(k, last))
    return B.xp.take(x, B.xp.reshape(k, (1,)), axis=0)[0, ...]
