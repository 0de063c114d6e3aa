"""General indexing: `x[...]`, take and take_along_axis, by way of `slice` and `take`."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy

from metaspec.errors import InvalidTypeError
from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.core import Array, Box, namespace_of, raw_value
from metaspec_numpy.tracer.functions.shaping import broadcast_arrays, permute_dims, reshape
from metaspec_numpy.tracer.rules.elementwise_rules import add, less, where
from metaspec_numpy.tracer.rules.indexing_rules import Span, slice_p, take_p
from metaspec_numpy.tracer.rules.structure import normalize_axis

WHOLE: Span = (None, None, None)


def getitem(x: Array, key: Any) -> Array:
    """`x[key]` for slices, integers, None, Ellipsis, integer arrays and concrete boolean masks."""
    keys = key if isinstance(key, tuple) else (key,)
    out = view(x, key)
    if any(is_key_array(k) for k in keys) or (out.ndim == 0 and not any(k is Ellipsis for k in keys)):
        return fresh(out)  # a copy, or a scalar
    return out


def view(x: Array, key: Any) -> Array:
    """Return `x[key]`, a single element as an array too; it shares memory with x unless a key is an array."""
    given = _without_masks(key if isinstance(key, tuple) else (key,))
    keys = _complete(x, given)
    spans: list[Span] = []
    shape: list[int] = []  # of the result of basic indexing, with a new axis of length 1 for None
    arrays: dict[int, Array] = {}  # axis of that result -> index array
    has_arrays = any(is_key_array(k) for k in keys)
    axis = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        length = x.shape[axis]
        axis += 1
        if isinstance(k, slice):
            span, n = _span(k, length)
            spans.append(span)
            shape.append(n)
        elif is_key_array(k) or has_arrays:  # NumPy broadcasts integers with the arrays among which they stand
            arrays[len(shape)] = _nonnegative(k if is_key_array(k) else namespace_of(x).asarray(k), length)
            spans.append(WHOLE)
            shape.append(length)
        else:
            i = operator.index(k)
            if not -length <= i < length:
                raise IndexError(f"index {i} is out of bounds for an axis of length {length}")
            spans.append((i % length, i % length + 1, None))
    if any(span != WHOLE for span in spans):
        x = slice_p(x, spans=tuple(spans))
    x = reshape(x, shape)
    return _gather(x, arrays, _separated(given)) if arrays else x


def _gather(x: Array, arrays: dict[int, Array], separated: bool) -> Array:
    """Picks along several axes at once: as one axis, with one index."""
    axes = sorted(arrays)
    indices = broadcast_arrays(*[arrays[a] for a in axes])
    if len(axes) == 1:
        return take_p(x, indices[0], axis=axes[0])
    lengths = [x.shape[a] for a in axes]
    x = permute_dims(x, [*axes, *(a for a in range(x.ndim) if a not in axes)])
    x = reshape(x, (math.prod(lengths), *x.shape[len(axes) :]))
    linear = indices[0]
    for index, length in zip(indices[1:], lengths[1:], strict=True):
        linear = linear * length + index
    out, rank = take_p(x, linear, axis=0), linear.ndim
    lead = 0 if separated else axes[0]  # NumPy's rule: the new axes go in front if the arrays do not stand together
    return permute_dims(out, (*range(rank, rank + lead), *range(rank), *range(rank + lead, out.ndim)))


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The elements of `x` at `indices` along `axis`."""
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis(axis, x.ndim)
    indices = indices if hasattr(indices, "ndim") else namespace_of(x).asarray(indices)
    return take_p(x, _nonnegative(indices, x.shape[axis]), axis=axis)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """out[..., i, ...] = x[..., indices[..., i, ...], ...]; the other axes of the two broadcast."""
    return getitem(x, along_axis_key(x, indices, axis))


def along_axis_key(x: Array, indices: Array, axis: int) -> tuple[Any, ...]:
    """The key that picks, along `axis`, the elements at `indices`."""
    axis = normalize_axis(axis, x.ndim)
    xp = namespace_of(indices)
    key: list[Any] = []
    for a in range(x.ndim):
        if a == axis:
            key.append(indices)
        else:
            along = xp.arange(x.shape[a], dtype=indices.dtype)  # spreads where x or the indices have length 1
            key.append(xp.reshape(along, tuple(-1 if b == a else 1 for b in range(x.ndim))))
    return tuple(key)


def is_key_array(k: Any) -> bool:
    return (
        isinstance(k, Box) or (hasattr(k, "shape") and not isinstance(k, numpy.generic)) or isinstance(k, list | range)
    )


def _without_masks(keys: Sequence[Any]) -> list[Any]:
    """Boolean arrays become integer arrays; that takes their values, so they must be concrete."""
    plain: list[Any] = []
    for k in keys:
        if isinstance(k, list | range):
            k = numpy.asarray(k, dtype=None if len(k) else int)
        if isinstance(k, bool | numpy.bool_):
            raise InvalidTypeError(
                f"the index {k} is a boolean: write x[None] for x[True], np.where(mask, x, 0) for a mask"
            )
        raw = raw_value(k)
        if not is_key_array(k) or not namespace_of(raw).isdtype(raw.dtype, "bool"):
            plain.append(k)
        elif isinstance(k, Box):
            raise InvalidTypeError(
                "a boolean mask that depends on traced values gives a result of unknown shape; "
                "use xp.where(mask, x, 0) in its place"
            )
        else:
            plain.extend(namespace_of(raw).nonzero(raw))
    return plain


def _complete(x: Array, keys: list[Any]) -> list[Any]:
    """Spells Ellipsis and trailing axes out as full slices."""
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise IndexError(f"{used} indices for an array of rank {x.ndim}")
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    return [*keys[:at], *[slice(None)] * (x.ndim - used), *keys[at + 1 :]]


def _separated(keys: list[Any]) -> bool:
    """Whether a slice, None or Ellipsis stands between two arrays (an integer counts as an array then)."""
    places = [i for i, k in enumerate(keys) if k is not None and k is not Ellipsis and not isinstance(k, slice)]
    return places[-1] - places[0] >= len(places)


def _span(k: slice, length: int) -> tuple[Span, int]:
    start, stop, step = k.indices(length)
    n = len(range(start, stop, step))
    if n == length and step == 1:
        return WHOLE, n
    if n == 0:
        return (0, 0, None), 0
    return (start, None if stop < 0 else stop, step), n


def _nonnegative(index: Array, length: int) -> Array:
    if not isinstance(index, Box):
        xp = namespace_of(index)
        if index.size and not (-length <= int(xp.min(index)) and int(xp.max(index)) < length):
            raise IndexError(f"indices {index} are out of bounds for an axis of length {length}")
        return index if not index.size or int(xp.min(index)) >= 0 else xp.where(index < 0, index + length, index)
    return where(less(index, 0), add(index, length), index)
