"""Which leaves of the parameters an inner loop moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.backend.patterns import matching
from metaspec.backend.protocol import Backend
from metaspec.task import Tree


@dataclass(frozen=True)
class Partition:
    """A division of a tree's leaves into those that move and those that stay.

    Attributes:
        B: The backend.
        structure: The tree's structure.
        moving: Positions of the leaves that move; None for all, whose tree keeps its structure.
        count: The number of leaves.
    """

    B: Backend
    structure: Any
    moving: tuple[int, ...] | None
    count: int

    @classmethod
    def of(cls, B: Backend, params: Tree, patterns: str | Sequence[str] | None, argument: str) -> Partition:
        """Return the division of `params` by patterns of leaves' names; None moves all."""
        leaves, structure = B.tree_flatten(params)
        moving = None if patterns is None else tuple(matching(B, params, patterns, argument))
        return cls(B, structure, None if moving is None or len(moving) == len(leaves) else moving, len(leaves))

    def split(self, tree: Tree) -> tuple[Tree, list[Any]]:
        """Return the tree (or list) of what moves, and the list of what stays."""
        if self.moving is None:
            return tree, []
        leaves = self.B.tree_flatten(tree)[0]
        return [leaves[i] for i in self.moving], [x for i, x in enumerate(leaves) if i not in self.moving]

    def join(self, moving: Tree, staying: Sequence[Any]) -> Tree:
        """Return the whole tree; the inverse of `split`."""
        if self.moving is None:
            return moving
        at = dict(zip(self.moving, moving, strict=True))
        others = iter(staying)
        return self.B.tree_unflatten(self.structure, [at[i] if i in at else next(others) for i in range(self.count)])
