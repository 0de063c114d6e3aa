"""Names of leaves, patterns that choose among them, and the division of a tree into the chosen and the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Tree


def leaf_names(B: Backend, tree: Tree) -> list[str]:
    """Return each leaf's path with "/" between its keys, in the order of `tree_flatten`.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> from metaspec.backend.patterns import leaf_names
        >>> leaf_names(ms.get_backend("numpy"), {"head": [np.ones(2), np.ones(1)], "body": np.ones(3)})
        ['body', 'head/0', 'head/1']
    """
    return [_name(path) for path in B.tree_paths(tree)]


def matching(B: Backend, tree: Tree, patterns: str | Sequence[str], argument: str) -> list[int]:
    """Return the positions of the leaves whose names match.

    `*` stands for anything but "/", `**` for any number of keys, none included. A pattern that starts with "!" takes
    back what it matches; where the first does, it takes back from all leaves.

    Args:
        B: The backend.
        tree: The tree.
        patterns: One pattern or several.
        argument: The argument's name, for errors.

    Raises:
        InvalidArgumentError: A pattern matches no leaf; the message lists the names.
        InvalidTypeError: `patterns` is not a string or a sequence of strings.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> from metaspec.backend.patterns import matching
        >>> tree = {"body": {"w": np.ones(3), "b": np.ones(1)}, "head": np.ones(2)}
        >>> matching(ms.get_backend("numpy"), tree, "!body/**", "adapt")
        [2]
    """
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, Sequence) or not given or not all(isinstance(p, str) for p in given):
        raise InvalidTypeError(f"{argument}: expected a pattern of leaves' names or several, got {patterns!r}")
    names = leaf_names(B, tree)
    chosen = set(range(len(names))) if given[0].startswith("!") else set[int]()
    for pattern in given:
        found = {i for i, name in enumerate(names) if _compiled(pattern.removeprefix("!")).fullmatch(name + "/")}
        if not found:
            near = get_close_matches(pattern.removeprefix("!").split("/")[0], names, 1)
            raise InvalidArgumentError(
                f"{argument}: the pattern {pattern!r} matches no leaf; the leaves are {', '.join(names)}"
                + (f" (did you mean {near[0]!r}?)" if near else "")
            )
        chosen = chosen - found if pattern.startswith("!") else chosen | found
    if not chosen:
        raise InvalidArgumentError(f"{argument}: {patterns!r} leaves no leaf; the leaves are {', '.join(names)}")
    return sorted(chosen)


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


@cache
def _name(path: str) -> str:
    """Return 'layers/0/weight' for "['layers'][0].weight"."""
    keys = re.findall(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\]]*))\]|\.([^.\[\]]+)", path)
    return "/".join(next(part for part in key if part) if any(key) else "" for key in keys) or path


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression for a name with a "/" after each of its keys."""
    keys = pattern.split("/")
    return re.compile("".join("(?:[^/]*/)*" if key == "**" else _key(key) + "/" for key in keys))


def _key(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*")
