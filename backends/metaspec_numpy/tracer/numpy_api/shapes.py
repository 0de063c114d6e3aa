"""NumPy's functions that join, split, reorder and repeat arrays."""

import math
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import indexing, linalg, reductions, shaping
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules import elementwise as rules
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules.indexing import place, take_p
from metaspec_numpy.tracer.rules.structure import astype, normalize_axis


def reverse(x: Array) -> Array:
    return shaping.permute_dims(x, range(x.ndim)[::-1])


@rule(numpy.reshape, view=True)
def reshape(a: Any, shape: Any, order: str = "C") -> Array:
    a = array(a)
    if order == "F":
        flat = shaping.reshape(reverse(a), -1)
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        return reverse(shaping.reshape(flat, sizes[::-1]))
    _row_major("reshape", order)
    return shaping.reshape(a, shape)


@rule(numpy.ravel, view=True)
def ravel(a: Any, order: str = "C") -> Array:
    a = array(a)
    if order == "F":
        return fresh(shaping.reshape(reverse(a), -1))
    _row_major("ravel", order)
    return shaping.uncertain(a, (a.size,))


def flatten(a: Array, order: str = "C") -> Array:
    return fresh(ravel(a, order))


def _row_major(name: str, order: str) -> None:
    if order != "C":
        raise UnsupportedError(
            f"{name}: order={order!r} depends on the layout in memory, which a traced array does not have; 'C' and 'F' "
            "have rules"
        )


@rule(numpy.copy, array=True)
def copy(a: Any, order: str = "K") -> Array:
    return array(a)


@rule(numpy.array, array=True)
def make(object: Any, dtype: Any = None, ndmin: int = 0, order: str = "K") -> Array:
    x = array(object)
    x = shaping.reshape(x, (1,) * (ndmin - x.ndim) + x.shape)
    return x if dtype is None else astype(x, numpy.dtype(dtype))


@rule(numpy.asarray, numpy.asanyarray, view=True)
def as_array(a: Any, dtype: Any = None, order: str = "K") -> Array:
    return array(a) if dtype is None else astype(array(a), numpy.dtype(dtype))


@rule(numpy.transpose, view=True)
def transpose(a: Any, axes: Any = None) -> Array:
    a = array(a)
    return reverse(a) if axes is None else shaping.permute_dims(a, axes)


rule(numpy.swapaxes, view=True)(lambda a, axis1, axis2: shaping.swapaxes(array(a), axis1, axis2))
rule(numpy.moveaxis, view=True)(lambda a, source, destination: shaping.moveaxis(array(a), source, destination))
rule(numpy.matrix_transpose, numpy.linalg.matrix_transpose, view=True)(lambda x: structure.matrix_transpose(array(x)))
rule(numpy.expand_dims, view=True)(lambda a, axis: shaping.expand_dims(array(a), axis=axis))
rule(numpy.squeeze, view=True)(lambda a, axis=None: shaping.squeeze(array(a), axis))
rule(numpy.flip, view=True)(lambda m, axis=None: shaping.flip(array(m), axis=axis))
rule(numpy.fliplr, view=True)(lambda m: shaping.flip(array(m), axis=1))
rule(numpy.flipud, view=True)(lambda m: shaping.flip(array(m), axis=0))
rule(numpy.broadcast_to, view=True)(lambda a, shape: shaping.broadcast_to(array(a), shape))
rule(numpy.broadcast_arrays, view=True)(lambda *args, subok=False: tuple(shaping.broadcast_arrays(*map(array, args))))
rule(numpy.unstack, view=True)(lambda x, axis=0: shaping.unstack(array(x), axis=axis))
rule(numpy.roll)(lambda a, shift, axis=None: shaping.roll(array(a), shift, axis=axis))
rule(numpy.tile)(lambda A, reps: shaping.tile(array(A), reps))
rule(numpy.tril)(lambda m, k=0: shaping.tril(array(m), k=k))
rule(numpy.triu)(lambda m, k=0: shaping.triu(array(m), k=k))


@rule(numpy.rollaxis, view=True)
def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    a = array(a)
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return shaping.moveaxis(a, axis, start - 1 if axis < start else start)


@rule(numpy.rot90, view=True)
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    m, (first, second) = array(m), axes
    if k % 4 == 0:
        return m
    if k % 4 == 2:
        return shaping.flip(shaping.flip(m, axis=first), axis=second)
    if k % 4 == 1:
        return shaping.swapaxes(shaping.flip(m, axis=second), first, second)
    return shaping.flip(shaping.swapaxes(m, first, second), axis=second)


def _at_least(rank: int) -> Callable[..., Any]:
    def widen(*arys: Any) -> Any:
        wide = []
        for x in map(array, arys):
            missing = rank - x.ndim
            if rank == 3 and x.ndim in (1, 2):
                wide.append(shaping.expand_dims(x, axis=(0, 2) if x.ndim == 1 else 2))
            else:
                wide.append(shaping.expand_dims(x, axis=tuple(range(missing))) if missing > 0 else x)
        return wide[0] if len(wide) == 1 else tuple(wide)

    return widen


for _function, _rank in ((numpy.atleast_1d, 1), (numpy.atleast_2d, 2), (numpy.atleast_3d, 3)):
    rule(_function, view=True)(_at_least(_rank))


def _parts(arrays: Any, dtype: Any = None) -> list[Array]:
    parts = [array(x) for x in arrays]
    return parts if dtype is None else [astype(x, numpy.dtype(dtype)) for x in parts]


@rule(numpy.concatenate)
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    return shaping.concat(_parts(arrays, dtype), axis=axis)


@rule(numpy.stack)
def stack(arrays: Any, axis: int = 0, dtype: Any = None) -> Array:
    return shaping.stack(_parts(arrays, dtype), axis=axis)


@rule(numpy.hstack)
def hstack(tup: Any, dtype: Any = None) -> Array:
    parts = [_at_least(1)(x) for x in _parts(tup, dtype)]
    return shaping.concat(parts, axis=0 if parts[0].ndim == 1 else 1)


@rule(numpy.vstack)
def vstack(tup: Any, dtype: Any = None) -> Array:
    return shaping.concat([_at_least(2)(x) for x in _parts(tup, dtype)], axis=0)


@rule(numpy.dstack)
def dstack(tup: Any) -> Array:
    return shaping.concat([_at_least(3)(x) for x in _parts(tup)], axis=2)


@rule(numpy.column_stack)
def column_stack(tup: Any) -> Array:
    return shaping.concat([x if x.ndim > 1 else shaping.reshape(x, (-1, 1)) for x in _parts(tup)], axis=1)


@rule(numpy.block)
def block(arrays: Any) -> Array:
    depth = _depth(arrays)
    rank = max(depth, _rank(arrays))

    def join(x: Any, level: int) -> Array:
        if not isinstance(x, list):
            leaf = array(x)
            return shaping.expand_dims(leaf, axis=tuple(range(rank - leaf.ndim))) if leaf.ndim < rank else leaf
        return shaping.concat([join(part, level + 1) for part in x], axis=rank - depth + level)

    return join(arrays, 0)


def _depth(x: Any) -> int:
    return 1 + _depth(x[0]) if isinstance(x, list) else 0


def _rank(x: Any) -> int:
    return max(map(_rank, x)) if isinstance(x, list) else array(x).ndim


@rule(numpy.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    return shaping.concat([array(arr), array(values)], axis=axis)


@rule(numpy.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    arr = array(arr)
    if axis is None:
        arr, axis = shaping.reshape(arr, -1), 0
    if not isinstance(obj, int):
        raise UnsupportedError("insert at several places has no rule; np.concatenate the pieces")
    axis, length = normalize_axis(axis, arr.ndim), arr.shape[axis]
    obj = obj + length if obj < 0 else obj
    values = array(values)
    if values.ndim == arr.ndim and arr.ndim > 1:
        values = shaping.moveaxis(values, 0, axis) if values.shape[axis] != 1 else values
    shape = tuple(1 if i == axis else n for i, n in enumerate(arr.shape))
    new = (
        shaping.broadcast_to(values if values.ndim < arr.ndim or values.ndim <= 1 else values, shape)
        if values.ndim != 1 or arr.ndim > 1
        else shaping.reshape(values, -1)
    )
    return shaping.concat([shaping.cut(arr, axis, 0, obj), new, shaping.cut(arr, axis, obj, None)], axis=axis)


@rule(numpy.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Array:
    arr = array(arr)
    if isinstance(obj, Box):
        raise UnsupportedError("delete at traced places has no rule; use np.where, or np.take of what stays")
    if axis is None:
        arr, axis = shaping.reshape(arr, -1), 0
    kept = numpy.delete(numpy.arange(arr.shape[axis]), obj)
    return take_p(arr, kept, axis=normalize_axis(axis, arr.ndim))


@rule(numpy.split, view=True)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    return shaping.split(array(ary), indices_or_sections, axis)


@rule(numpy.array_split, view=True)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    ary = array(ary)
    pieces = numpy.array_split(numpy.arange(ary.shape[axis]), indices_or_sections)
    edges = numpy.cumsum([0, *map(len, pieces)])
    return [shaping.cut(ary, normalize_axis(axis, ary.ndim), int(a), int(b)) for a, b in zip(edges, edges[1:])]


rule(numpy.hsplit, view=True)(
    lambda ary, indices_or_sections: split(ary, indices_or_sections, min(1, array(ary).ndim - 1))
)
rule(numpy.vsplit, view=True)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 0))
rule(numpy.dsplit, view=True)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 2))


@rule(numpy.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    if isinstance(repeats, Box):
        raise UnsupportedError("repeat: traced counts give a result of unknown shape; give counts as plain numbers")
    return shaping.repeat(array(a), repeats, axis=axis)


@rule(numpy.resize)
def resize(a: Any, new_shape: Any) -> Array:
    flat = shaping.reshape(array(a), -1)
    sizes = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
    return shaping.reshape(take_p(flat, numpy.arange(math.prod(sizes)) % max(flat.size, 1), axis=0), sizes)


@rule(numpy.take)
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Array:
    a, indices = array(a), array(indices)
    length = a.size if axis is None else a.shape[axis]
    if mode == "wrap":
        indices = rules.remainder(indices, length)
    elif mode == "clip":
        indices = rules.minimum(rules.maximum(indices, 0), length - 1)
    return indexing.take(a, indices, axis=axis)


@rule(numpy.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Array:
    arr = array(arr)
    return indexing.take_along_axis(shaping.reshape(arr, -1) if axis is None else arr, array(indices), axis=axis or 0)


@rule(numpy.compress)
def compress(condition: Any, a: Any, axis: int | None = None) -> Array:
    a = array(a)
    if isinstance(condition, Box):
        raise UnsupportedError(
            "compress: a traced condition gives a result of unknown shape; use np.where(condition, a, 0)"
        )
    if axis is None:
        a, axis = shaping.reshape(a, -1), 0
    return take_p(a, numpy.flatnonzero(condition), axis=normalize_axis(axis, a.ndim))


@rule(numpy.extract)
def extract(condition: Any, arr: Any) -> Array:
    return compress(numpy.ravel(condition), arr)


@rule(numpy.diagonal, view=True)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    a = array(a)
    out = linalg.diagonal(shaping.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset)
    return structure.broadcast_to(out, shape=out.shape) if isinstance(out, Box) else out  # read-only, as NumPy's is


@rule(numpy.linalg.diagonal, view=True)
def linalg_diagonal(x: Any, offset: int = 0) -> Array:
    return diagonal(x, offset, -2, -1)


@rule(numpy.diagflat)
def diagflat(v: Any, k: int = 0) -> Array:
    v = shaping.reshape(array(v), -1)
    n = v.size + abs(k)
    start, step = (k if k > 0 else -k * n), n + 1
    flat = place(v, spans=((start, start + step * v.size, step),), shape=(max(n * n, start + step * v.size),))
    return shaping.reshape(shaping.cut(flat, 0, 0, n * n), (n, n))


@rule(numpy.diag, view=True)
def diag(v: Any, k: int = 0) -> Array:
    v = array(v)
    if v.ndim not in (1, 2):
        raise InvalidArgumentError(f"Input must be 1- or 2-d; it has shape {v.shape}")
    return fresh(diagflat(v, k)) if v.ndim == 1 else diagonal(v, k)


@rule(numpy.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    x = array(x)
    n = x.size if N is None else N
    powers = numpy.arange(n) if increasing else numpy.arange(n)[::-1]
    return shaping.reshape(x, (-1, 1)) ** powers.astype(x.dtype)


@rule(numpy.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if sparse or not copy:
        raise UnsupportedError(
            "meshgrid: sparse= and copy= have no rule; x[:, None] and y[None, :] broadcast by themselves"
        )
    return tuple(shaping.meshgrid(*[shaping.reshape(array(x), -1) for x in xi], indexing=indexing))


@rule(numpy.pad)
def pad(
    array_: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0, reflect_type: str = "even"
) -> Array:
    x = array(array_)
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(a, pad_width.get(a - x.ndim, (0, 0))) for a in range(x.ndim)]
    widths = numpy.broadcast_to(numpy.asarray(pad_width, dtype=int), (x.ndim, 2))
    if mode in ("edge", "reflect", "symmetric", "wrap") and reflect_type == "even":
        for axis, width in enumerate(widths):
            x = take_p(x, numpy.pad(numpy.arange(x.shape[axis]), width, mode=mode), axis=axis)
        return x
    if mode != "constant":
        raise UnsupportedError(
            f"pad: mode {mode!r} has no rule; 'constant', 'edge', 'reflect', 'symmetric' and 'wrap' have"
        )
    spans = tuple((int(a), int(a) + n, None) for (a, _), n in zip(widths, x.shape, strict=True))
    shape = tuple(n + int(a) + int(b) for (a, b), n in zip(widths, x.shape, strict=True))
    border = constant_values
    if not isinstance(border, Box):
        border = numpy.pad(numpy.zeros(x.shape, x.dtype), widths, constant_values=border)
    inside = numpy.pad(numpy.ones(x.shape, bool), widths)
    return rules.where(inside, place(x, spans=spans, shape=shape), astype(array(border), x.dtype))


def _like(name: str) -> Callable[..., Any]:
    def make(a: Any, *value: Any, dtype: Any = None, shape: Any = None) -> Array:
        a = array(a)
        dtype, shape = numpy.dtype(dtype or a.dtype), a.shape if shape is None else shape
        fill = astype(array(value[0]), dtype) if value else getattr(numpy, name)((), dtype)
        if dtype == a.dtype and shape == a.shape:
            return rules.where(numpy.asarray(False), a, fill)  # a box, to which traced values may be written
        return shaping.broadcast_to(fill, shape)

    return make


rule(numpy.zeros_like)(_like("zeros"))
rule(numpy.ones_like)(_like("ones"))
rule(numpy.empty_like)(_like("zeros"))
rule(numpy.full_like, array=True)(
    lambda a, fill_value, dtype=None, shape=None: _like("full")(a, fill_value, dtype=dtype, shape=shape)
)


@rule(numpy.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    start, stop = (shaping.expand_dims(x, axis=0) for x in shaping.broadcast_arrays(array(start), array(stop)))
    parts = num - 1 if endpoint else num
    weights = numpy.arange(num, dtype=float).reshape(-1, *(1,) * (start.ndim - 1))
    step = (stop - start) / parts if parts > 0 else (stop - start) * numpy.nan
    points = start + weights * (step if parts > 0 else stop - start)
    if endpoint and num > 1:
        points = shaping.concat([shaping.cut(points, 0, 0, -1), stop], axis=0)
    points = shaping.moveaxis(points if dtype is None else astype(points, numpy.dtype(dtype)), 0, axis)
    return (points, shaping.squeeze(step, 0)) if retstep else points


@rule(numpy.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Array:
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    points = rules.power(base, exponents)
    return points if dtype is None else astype(points, numpy.dtype(dtype))


@rule(numpy.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Array:
    arr = array(arr)
    axis = normalize_axis(axis, arr.ndim)
    rows = shaping.moveaxis(arr, axis, -1)
    outs = [array(func1d(row, *args, **kwargs)) for row in shaping.reshape(rows, (-1, arr.shape[axis]))]
    joined = shaping.stack(outs)
    joined = shaping.reshape(joined, (*rows.shape[:-1], *outs[0].shape))
    rank = outs[0].ndim
    return shaping.moveaxis(joined, tuple(range(arr.ndim - 1, arr.ndim - 1 + rank)), tuple(range(axis, axis + rank)))


@rule(numpy.trim_zeros, numpy.sort_complex)
def _unknown_shape(*args: Any, **options: Any) -> Array:
    raise UnsupportedError("the shape of the result depends on traced values; use np.where(mask, x, 0) in its place")


rule(numpy.astype, array=True)(lambda x, dtype: astype(array(x), numpy.dtype(dtype)))
rule(numpy.shape)(lambda a: a.shape)
rule(numpy.ndim)(lambda a: a.ndim)
rule(numpy.size)(lambda a, axis=None: a.size if axis is None else math.prod(a.shape[i] for i in numpy.atleast_1d(axis)))
rule(numpy.cumulative_sum)(
    lambda x, axis=None, dtype=None, include_initial=False: reductions.cumulative_sum(
        array(x), axis=axis, dtype=dtype, include_initial=include_initial
    )
)
rule(numpy.cumulative_prod)(
    lambda x, axis=None, dtype=None, include_initial=False: reductions.cumulative_prod(
        array(x), axis=axis, dtype=dtype, include_initial=include_initial
    )
)
