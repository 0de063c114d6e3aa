"""Where each parameter of one side is found on another: names, transposes, reshapes.

The first side's leaves, by name, are the common ones. Another side's tree has for each of its leaves a `Leaf` that says
which common leaf it holds and in which form. A name is a leaf's path with "/" between the keys: `layers/0/weight`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from metaspec.errors import InvalidArgumentError, InvalidTypeError

Leaves = dict[str, Any]
"""NumPy arrays by the common names."""

PART = re.compile(r"\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(-?\d+)\]|\.(\w+)")


@dataclass(frozen=True)
class Leaf:
    """A leaf of another side: the common leaf reshaped to `split`, its axes permuted, reshaped to `shape`.

    Attributes:
        name: The common leaf.
        split: A shape to give it first; None leaves it as it is.
        axes: The permutation, as `numpy.transpose` takes it; None leaves the order.
        shape: A shape to give it last; None leaves it as it is.

    Example:
        >>> from metaspec_conformance.compare import Leaf
        >>> Leaf("fc.weight", axes=(1, 0))  # (out, in) there, (in, out) here
        Leaf(name='fc.weight', split=None, axes=(1, 0), shape=None)
    """

    name: str
    split: tuple[int, ...] | None = None
    axes: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None

    def forward(self, common: Any) -> Any:
        """The common leaf in this side's form.

        Raises:
            ValueError: It cannot be given these shapes or axes.
        """
        x = np.asarray(common)
        x = x if self.split is None else np.reshape(x, self.split)
        x = x if self.axes is None else np.transpose(x, self.axes)
        return np.array(x if self.shape is None else np.reshape(x, self.shape), order="C")

    def backward(self, own: Any, shape: Sequence[int]) -> Any:
        """What `forward` made this of, or a derivative in it; `shape` is the common leaf's."""
        split = tuple(shape) if self.split is None else self.split
        axes = tuple(range(len(split))) if self.axes is None else self.axes
        x = np.reshape(np.asarray(own), tuple(split[axis] for axis in axes))
        return np.reshape(np.transpose(x, tuple(np.argsort(axes))), tuple(shape))


@dataclass(frozen=True)
class Layout:
    """One side's leaves in the order of its own tree, and that tree where it is made of plain containers.

    Attributes:
        leaves: In the order of the side's flattened tree.
        skeleton: The tree with the leaves' numbers in their places; None: the side's own parameters give the tree.
    """

    leaves: tuple[Leaf, ...]
    skeleton: Any = None


def readable(path: str) -> str:
    """A path as a backend writes it, as a name: ['a'][0].b becomes a/0/b."""
    parts = ["".join(groups) for groups in PART.findall(path)]
    return "/".join(parts) if parts else path.strip("[]'") or "root"


def skeleton_of(tree: Any, what: str) -> tuple[Any, list[tuple[str, Any]]]:
    """A plain tree with numbers in place of its leaves, and the leaves by name in that order; `what` it is.

    Raises:
        InvalidArgumentError: A dictionary's keys have no order.
    """
    found: list[tuple[str, Any]] = []

    def walk(node: Any, path: tuple[str, ...]) -> Any:
        if node is None:
            return None
        if isinstance(node, Mapping):
            return {key: walk(node[key], (*path, str(key))) for key in _ordered(node, path, what)}
        if isinstance(node, list | tuple):
            rows = [walk(child, (*path, str(i))) for i, child in enumerate(node)]
            return rows if isinstance(node, list) else tuple(rows)
        found.append(("/".join(path) or "root", node))
        return len(found) - 1

    return walk(tree, ()), found


def _ordered(node: Mapping[Any, Any], path: tuple[str, ...], what: str) -> list[Any]:
    try:
        return sorted(node)
    except TypeError:
        keys = ", ".join(f"{key!r} ({type(key).__name__})" for key in node)
        raise InvalidArgumentError(
            f"{what}: {'/'.join(path) or 'root'}: expected a dictionary with keys of one type that can be sorted, "
            f"got {keys:.300}"
        ) from None


def filled(skeleton: Any, leaves: Sequence[Any]) -> Any:
    """The tree of a skeleton."""
    if isinstance(skeleton, dict):
        return {key: filled(child, leaves) for key, child in skeleton.items()}
    if isinstance(skeleton, list | tuple):
        rows = [filled(child, leaves) for child in skeleton]
        return rows if isinstance(skeleton, list) else tuple(rows)
    return None if skeleton is None else leaves[skeleton]


def same_names(names: Sequence[str]) -> Layout:
    """The layout of a side whose leaves are the common ones."""
    return Layout(tuple(Leaf(name) for name in names))


def mapped(side: str, mapping: Any, own: Mapping[str, tuple[int, ...]] | None, common: Mapping[str, Any]) -> Layout:
    """The layout that a mapping describes.

    Args:
        side: Whose, for messages.
        mapping: A tree like the side's parameters (or one dictionary by names) of `Leaf` or, where nothing but the name
            differs, strings.
        own: The shapes of the side's own parameters by name, in its order; None where it has none.
        common: The common leaves.

    Raises:
        InvalidArgumentError: A leaf of either side is forgotten, named twice or unknown; a shape does not fit; a `Leaf`
            is made of something else than a name and integers; a dictionary's keys have no order.
        InvalidTypeError: A leaf of the mapping is neither.
    """
    skeleton, found = skeleton_of(mapping, f"mapping of {side}")
    given = {name: _leaf(side, name, value) for name, value in found}
    if own is not None:
        _complete(side, "has no entry for", set(own) - set(given), f"{side}'s leaves", own)
        _complete(side, "has entries for unknown leaves", set(given) - set(own), f"{side}'s leaves", own)
    names = [leaf.name for leaf in given.values()]
    shapes = {name: np.shape(value) for name, value in common.items()}
    _complete(side, "refers to unknown leaves", set(names) - set(common), "the common leaves", shapes)
    _complete(side, "forgets", set(common) - set(names), "the common leaves", shapes)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgumentError(f"mapping of {side}: {', '.join(doubled)} is used more than once")
    for name, leaf in given.items():
        _check_shape(side, name, leaf, common[leaf.name], None if own is None else own[name])
    if own is None:
        return Layout(tuple(given.values()), skeleton)
    return Layout(tuple(given[name] for name in own))


def unmapped(side: str, own: Mapping[str, tuple[int, ...]], common: Mapping[str, Any]) -> Layout:
    """The layout of a side whose own parameters have the common names and shapes.

    Raises:
        InvalidArgumentError: They have not.
    """
    shapes = {name: tuple(np.shape(value)) for name, value in common.items()}
    if dict(own) != shapes:
        raise InvalidArgumentError(
            f"mapping: {side}'s parameters have other names or shapes than the first side's, so a mapping has to say "
            f"which belong together.\n  {side}: {_listed(own)}\n  first side: {_listed(shapes)}"
            + _suggestion(own, shapes)
        )
    return same_names(list(own))


def borrowed(side: str, common: Mapping[str, Any]) -> str:
    """What to add to an error of a side whose parameters are the first side's, carried over as they are."""
    shapes = {name: tuple(np.shape(value)) for name, value in common.items()}
    return (
        f"\n  {side} has neither parameters of its own nor a mapping, so its loss was given the first side's tree: "
        f"{_listed(shapes)}.\n  If it expects other names or shapes, give a mapping, a tree as it expects it whose "
        f"leaves name these; or give {side} parameters of its own, and the mapping is suggested."
    )


def permutations_of(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order of the axes that keeps the shape, but the one that keeps the axes."""
    for axes in permutations(range(len(shape))):
        if axes != tuple(range(len(shape))) and tuple(shape[axis] for axis in axes) == tuple(shape):
            yield axes


def checked_mapping(side: str, mapping: Any) -> Any:
    """Return a mapping with a `Leaf` of plain numbers in place of each leaf.

    Raises:
        InvalidArgumentError, InvalidTypeError: As `mapped`.
    """
    skeleton, found = skeleton_of(mapping, f"mapping of {side}")
    return filled(skeleton, [_leaf(side, name, value) for name, value in found])


def _leaf(side: str, name: str, value: Any) -> Leaf:
    if isinstance(value, str):
        return Leaf(value)
    if not isinstance(value, Leaf):
        raise InvalidTypeError(f"mapping of {side}: {name}: expected Leaf(name, ...) or a name, got {value!r:.80}")
    if not isinstance(value.name, str):
        raise InvalidArgumentError(f"mapping of {side}: {name}: expected a leaf's name, a string, got {value!r:.200}")
    for what in ("split", "axes", "shape"):
        numbers = getattr(value, what)
        if numbers is not None and not _are_integers(numbers):
            raise InvalidArgumentError(
                f"mapping of {side}: {name}: {what} must be a tuple of integers or None, got {numbers!r:.80}"
            )
    split, axes, shape = (None if x is None else tuple(map(int, x)) for x in (value.split, value.axes, value.shape))
    return Leaf(value.name, split, axes, shape)


def _are_integers(given: Any) -> bool:
    return isinstance(given, list | tuple) and all(
        isinstance(x, int | np.integer) and not isinstance(x, bool) for x in given
    )


def _complete(side: str, what: str, wrong: set[str], whose: str, known: Mapping[str, tuple[int, ...]]) -> None:
    if wrong:
        raise InvalidArgumentError(
            f"mapping of {side}: it {what} {', '.join(sorted(wrong))}; {whose}: {_listed(known)}"
        )


def _check_shape(side: str, name: str, leaf: Leaf, common: Any, own: tuple[int, ...] | None) -> None:
    try:
        shape = leaf.forward(common).shape
    except ValueError as error:
        raise InvalidArgumentError(f"mapping of {side}: {name}: {leaf} on shape {np.shape(common)}: {error}") from None
    if own is not None and shape != own:
        raise InvalidArgumentError(
            f"mapping of {side}: {name} has shape {own}, but {leaf.name} of shape {np.shape(common)} becomes {shape}"
        )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())


FITS: tuple[Callable[[tuple[int, ...], tuple[int, ...]], bool], ...] = (
    lambda s, shape: s == shape,
    lambda s, shape: s[::-1] == shape and len(s) == 2,
    lambda s, shape: math.prod(s) == math.prod(shape) and sorted(s) == sorted(shape),
)
"""How two shapes may be those of one leaf, the likeliest first."""


def _suggestion(own: Mapping[str, tuple[int, ...]], common: Mapping[str, tuple[int, ...]]) -> str:
    """A mapping by order, where the shapes allow it: to be checked by who knows the two models."""
    if len(own) != len(common):
        return ""
    left = dict(common)
    lines = []
    for name, shape in own.items():
        found = next((c for fit in FITS for c, s in left.items() if fit(s, shape)), None)
        if found is None:
            return ""
        shape_of_found = left.pop(found)
        axes = _axes(shape_of_found, shape)
        lines.append(f"{name!r}: {f'Leaf({found!r}, axes={axes})' if axes else repr(found)}")
    return "\n  by order and shape it could be (check it): {" + ", ".join(lines) + "}"


def _axes(common: tuple[int, ...], own: tuple[int, ...]) -> tuple[int, ...] | None:
    if common == own:
        return None
    order, free = [], list(range(len(common)))
    for size in own:
        axis = next(axis for axis in reversed(free) if common[axis] == size)
        free.remove(axis)
        order.append(axis)
    return tuple(order)
