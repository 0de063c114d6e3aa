"""One function of a tree with its derivatives written out, over any backend."""

from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.task import Tree
from metaspec.trees import tree_map


def cubic(B: Backend, x: Tree) -> Any:
    """sum w^3 / 3 + (sum w)^2 / 2 over all entries w of all leaves: the Hessian couples the leaves."""
    leaves = B.tree_flatten(x)[0]
    total = sum((B.xp.sum(w) for w in leaves[1:]), B.xp.sum(leaves[0]))
    return sum((B.xp.sum(w * w * w) for w in leaves[1:]), B.xp.sum(leaves[0] ** 3)) / 3 + total * total / 2


def cubic_gradient(B: Backend, x: Tree) -> Tree:
    """w^2 + sum w."""
    leaves = B.tree_flatten(x)[0]
    total = sum((B.xp.sum(w) for w in leaves[1:]), B.xp.sum(leaves[0]))
    return tree_map(B, lambda w: w * w + total, x)


def cubic_product(B: Backend, x: Tree, v: Tree) -> Tree:
    """2 w v + sum v."""
    leaves = B.tree_flatten(v)[0]
    total = sum((B.xp.sum(t) for t in leaves[1:]), B.xp.sum(leaves[0]))
    return tree_map(B, lambda w, t: 2 * w * t + total, x, v)
