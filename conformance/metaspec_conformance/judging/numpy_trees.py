"""Trees of plain NumPy arrays (dictionaries, lists, tuples, None), read without any backend.

Kept apart from `Backend.tree_flatten` so that an adapter that orders leaves wrongly is compared with something else.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Tree = Any


def leaves_with_paths(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) with dictionaries by sorted key; None is an empty subtree."""
    for key, child in _children(tree):
        yield from leaves_with_paths(child, f"{path}[{key!r}]")
    if not _is_node(tree):
        yield path, tree


def leaves(tree: Tree) -> list[Any]:
    """The leaves, dictionaries by sorted key."""
    return [leaf for _, leaf in leaves_with_paths(tree)]


def tree_map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """F applied leaf by leaf; where `tree` has a leaf, a tree in `rest` may have anything."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: tree_map(f, tree[key], *(other[key] for other in rest)) for key in sorted(tree)}
    if isinstance(tree, list | tuple):
        mapped = [tree_map(f, child, *(other[i] for other in rest)) for i, child in enumerate(tree)]
        if isinstance(tree, list):
            return mapped
        return type(tree)(*mapped) if hasattr(tree, "_fields") else tuple(mapped)
    return f(tree, *rest)


def is_floating(x: Any) -> bool:
    """Whether x is an array of a real floating format."""
    return bool(np.issubdtype(np.asarray(x).dtype, np.floating))


def cast(tree: Tree, dtype: Any) -> Tree:
    """The tree with its floating leaves as arrays of `dtype`."""
    return tree_map(lambda x: np.asarray(x).astype(dtype) if is_floating(x) else np.asarray(x), tree)


def ravel(tree: Tree) -> Any:
    """All leaves as one vector."""
    return np.concatenate([np.reshape(leaf, -1) for leaf in leaves(tree)])


def unravel(vector: Any, like: Tree) -> Tree:
    """The inverse of `ravel`, shapes from `like`."""
    sizes = iter(np.cumsum([0] + [np.size(leaf) for leaf in leaves(like)]))
    start = [next(sizes)]

    def part(leaf: Any) -> Any:
        begin, start[0] = start[0], next(sizes)
        return np.reshape(vector[begin : start[0]], np.shape(leaf))

    return tree_map(part, tree_map(lambda leaf: leaf, like))


def _is_node(tree: Tree) -> bool:
    return tree is None or isinstance(tree, dict | list | tuple)


def _children(tree: Tree) -> Iterator[tuple[Any, Tree]]:
    if isinstance(tree, dict):
        yield from ((key, tree[key]) for key in sorted(tree))
    elif isinstance(tree, list | tuple):
        yield from enumerate(tree)
