"""Shapes: the array API's manipulation functions in terms of the structural primitives."""

import itertools
from collections.abc import Sequence
from typing import Any

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.aliasing import maybe_view
from metaspec_numpy.tracer.core import Array, Box, Shape, namespace_of, shape_of
from metaspec_numpy.tracer.links import Link
from metaspec_numpy.tracer.outputs import as_array
from metaspec_numpy.tracer.rules import indexing_rules as indexing
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules.elementwise_rules import where
from metaspec_numpy.tracer.rules.structure import expand, normalize_axes, normalize_axis

ALL = (None, None, None)


def reshape(x: Array, shape: int | Sequence[int], *, copy: bool | None = None) -> Array:
    """`x` in another shape, row-major; one length may be -1."""
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if min(sizes, default=0) < -1:
        raise InvalidArgumentError(f"reshape: lengths must be >= 0, or -1 for one of them; got {sizes}")
    if -1 in sizes:
        known = 1
        for n in sizes:
            known *= n if n != -1 else 1
        if sizes.count(-1) > 1 or known == 0 or x.size % known:
            raise InvalidArgumentError(f"reshape: cannot turn shape {x.shape} into {sizes}")
        sizes = tuple(x.size // known if n == -1 else n for n in sizes)
    return x if sizes == x.shape else maybe_view(structure.reshape(x, shape=sizes), x)


def broadcast_to(x: Array, shape: Sequence[int]) -> Array:
    """`x` repeated along new axes and axes of length 1."""
    x = as_array(x)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return x if sizes == x.shape else structure.broadcast_to(x, shape=sizes)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that arrays of these shapes broadcast to."""
    rank = max((len(s) for s in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for i, n in enumerate(shape, start=rank - len(shape)):
            if n != 1:
                if result[i] not in (1, n):
                    raise InvalidArgumentError(f"the shapes {', '.join(map(str, shapes))} do not broadcast together")
                result[i] = n
    return tuple(result)


def broadcast_arrays(*xs: Array) -> list[Array]:
    """All arrays, in the shape that they broadcast to."""
    shape = broadcast_shapes(*(shape_of(x) for x in xs))
    return [broadcast_to(x, shape) for x in xs]


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """The axes of `x` in another order."""
    order = tuple(normalize_axis(a, x.ndim) for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise InvalidArgumentError(
            f"permute_dims: {tuple(axes)} is not a permutation of the {x.ndim} axes of shape {x.shape}"
        )
    return x if order == tuple(range(x.ndim)) else structure.permute(x, axes=order)


def swapaxes(x: Array, a: int, b: int) -> Array:
    """`x` with two axes exchanged."""
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return permute_dims(x, order)


def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Moves the axes at `source` to `destination`; the others keep their order."""
    sources = [normalize_axis(a, x.ndim) for a in _sequence(source)]
    targets = [normalize_axis(a, x.ndim) for a in _sequence(destination)]
    if len(sources) != len(targets):
        raise InvalidArgumentError(f"moveaxis: {len(sources)} sources but {len(targets)} destinations")
    order = [a for a in range(x.ndim) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute_dims(x, order)


def expand_dims(x: Array, /, axis: int | tuple[int, ...] = 0) -> Array:
    """New axes of length 1, at positions counted in the result."""
    rank = x.ndim + len(_sequence(axis))
    for a in sorted(normalize_axis(a, rank) for a in _sequence(axis)):
        x = expand(x, a)
    return x


def squeeze(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Array:
    """`x` without the given axes, which must be of length 1; without all such axes for None."""
    chosen = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else normalize_axes(axis, x.ndim)
    if any(x.shape[a] != 1 for a in chosen):
        raise InvalidArgumentError(f"squeeze: the axes {axis} of shape {x.shape} are not all of length 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in chosen))


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """The arrays one after the other along `axis`; flattened first for None."""
    parts = [as_array(x) for x in arrays]
    if not parts:
        raise InvalidArgumentError("concat needs at least one array; none was given")
    if axis is None:
        parts, axis = [reshape(x, -1) for x in parts], 0
    axis = normalize_axis(axis, parts[0].ndim)
    return parts[0] if len(parts) == 1 else indexing.concat_p(*parts, axis=axis)


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """The arrays side by side along a new axis."""
    parts = [as_array(x) for x in arrays]
    if not parts:
        raise InvalidArgumentError("stack needs at least one array; none was given")
    axis = normalize_axis(axis, parts[0].ndim + 1)
    return concat([expand(x, axis) for x in parts], axis=axis)


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices of `x` along `axis`."""
    axis = normalize_axis(axis, x.ndim)
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    return tuple(reshape(cut(x, axis, i, i + 1), rest) for i in range(x.shape[axis]))


def cut(x: Array, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Array:
    """The basic slice start:stop:step along one axis."""
    return indexing.slice_p(x, spans=(ALL,) * axis + ((start, stop, step),) + (ALL,) * (x.ndim - axis - 1))


def split(x: Array, sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """Equal parts along `axis`, or the parts between the given indices."""
    axis = normalize_axis(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(sections, int):
        if length % sections:
            raise InvalidArgumentError(f"split: a length of {length} does not divide into {sections} equal parts")
        step = length // sections
        inner = [step * i for i in range(1, sections)]
    else:
        inner = [int(i) for i in sections]
    edges = [0, *inner, length]
    return [cut(x, axis, a, b) for a, b in itertools.pairwise(edges)]


def flip(x: Array, /, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """`x` backwards along the given axes, or all."""
    for a in normalize_axes(axis, x.ndim):
        x = cut(x, a, None, None, -1)
    return x


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Array:
    """`x` shifted along the axes; what leaves at one end enters at the other."""
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, axis=0), x.shape)
    axes = _sequence(axis)
    shifts = _sequence(shift) * (len(axes) if isinstance(shift, int) else 1)
    for by, a in zip(shifts, axes, strict=True):
        a = normalize_axis(a, x.ndim)
        by = by % x.shape[a] if x.shape[a] else 0
        if by:
            x = concat([cut(x, a, -by, None), cut(x, a, None, -by)], axis=a)
    return x


def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Each element along `axis` `repeats` times; an array of counts must be concrete, as it sets the shape."""
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis(axis, x.ndim)
    if isinstance(repeats, int):
        spread = structure.broadcast_to(
            expand(x, axis + 1), shape=(*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
        )
        return reshape(spread, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))
    xp = namespace_of(x)
    index = xp.repeat(xp.arange(x.shape[axis]), xp.asarray(repeats))
    return indexing.take_p(x, index, axis=axis)


def tile(x: Array, repetitions: int | Sequence[int], /) -> Array:
    """`x` repeated as a whole, so often along each axis."""
    counts = _sequence(repetitions)
    rank = max(x.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - x.ndim) + x.shape
    paired = [n for pair in zip((1,) * rank, shape, strict=True) for n in pair]
    wide = [n for pair in zip(counts, shape, strict=True) for n in pair]
    spread = broadcast_to(reshape(x, paired), wide)
    return reshape(spread, tuple(c * n for c, n in zip(counts, shape, strict=True)))


def pad(x: Array, width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Array:
    """`x` with a border of a constant: `width` is n, (before, after), or one such pair for each axis."""
    if mode != "constant":
        raise UnsupportedError(f"pad: mode {mode!r} has no rule; only 'constant' has")
    if isinstance(width, int):
        widths = [(width, width)] * x.ndim
    elif isinstance(width[0], int):
        widths = [tuple(width)] * x.ndim
    else:
        widths = [tuple(w) for w in width] * (x.ndim if len(width) == 1 else 1)
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, widths, strict=True))
    spans = tuple((before, before + n, None) for n, (before, _) in zip(x.shape, widths, strict=True))
    padded = indexing.place(x, spans=spans, shape=shape)
    if constant_values == 0:
        return padded
    xp = namespace_of(x)
    inside = indexing.place(xp.ones(x.shape, dtype=xp.bool), spans=spans, shape=shape)
    return where(inside, padded, constant_values)


def flatten(x: Array) -> Array:
    return reshape(x, -1)


def triangle_mask(x: Array, k: int, *, lower: bool) -> Array:
    """Where the lower or upper triangle of the last two axes of `x` is, the diagonal being number k."""
    xp = namespace_of(x)
    rows, columns = xp.arange(x.shape[-2])[:, None], xp.arange(x.shape[-1])[None, :]
    return columns - rows <= k if lower else columns - rows >= k


def tril(x: Array, /, *, k: int = 0) -> Array:
    """The lower triangle, zeros above diagonal k."""
    return where(triangle_mask(x, k, lower=True), x, 0.0 if is_inexact(x) else 0)


def triu(x: Array, /, *, k: int = 0) -> Array:
    """The upper triangle, zeros below diagonal k."""
    return where(triangle_mask(x, k, lower=False), x, 0.0 if is_inexact(x) else 0)


def is_inexact(x: Array) -> bool:
    return bool(namespace_of(x).isdtype(x.dtype, ("real floating", "complex floating")))


def meshgrid(*xs: Array, indexing: str = "xy") -> list[Array]:
    """Coordinate arrays of the grid that the one-dimensional `xs` span."""
    rank = len(xs)
    order = [1, 0, *range(2, rank)] if indexing == "xy" and rank > 1 else list(range(rank))
    grid = [reshape(x, tuple(-1 if order[i] == a else 1 for a in range(rank))) for i, x in enumerate(xs)]
    return broadcast_arrays(*grid)


def _sequence(axis: Any) -> tuple[int, ...]:
    return tuple(int(a) for a in axis) if isinstance(axis, tuple | list) else (int(axis),)


def uncertain(x: Array, shape: Shape) -> Array:
    """`x` in another shape, or in its own, which may be a copy, as `ravel` and `ascontiguousarray` have it."""
    out = structure.reshape(x, shape=shape)
    if isinstance(out, Box) and isinstance(out.link, Link) and out.link.parent is not None:
        out.link.uncertain = True
    return out
