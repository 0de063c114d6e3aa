"""NumPy's functions that join arrays, and take them apart."""

import itertools
from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import shaping
from metaspec_numpy.tracer.numpy_api.reshaping import at_least
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules.indexing_rules import take_p
from metaspec_numpy.tracer.rules.structure import astype, normalize_axis


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
    parts = [at_least(1)(x) for x in _parts(tup, dtype)]
    return shaping.concat(parts, axis=0 if parts[0].ndim == 1 else 1)


@rule(numpy.vstack)
def vstack(tup: Any, dtype: Any = None) -> Array:
    return shaping.concat([at_least(2)(x) for x in _parts(tup, dtype)], axis=0)


@rule(numpy.dstack)
def dstack(tup: Any) -> Array:
    return shaping.concat([at_least(3)(x) for x in _parts(tup)], axis=2)


@rule(numpy.column_stack)
def column_stack(tup: Any) -> Array:
    return shaping.concat([x if x.ndim > 1 else shaping.reshape(x, (-1, 1)) for x in _parts(tup)], axis=1)


@rule(numpy.block)
def block(arrays: Any) -> Array:
    depth = _depth(arrays)
    rank = max(depth, _rank_of(arrays))

    def join(x: Any, level: int) -> Array:
        if not isinstance(x, list):
            leaf = array(x)
            return shaping.expand_dims(leaf, axis=tuple(range(rank - leaf.ndim))) if leaf.ndim < rank else leaf
        return shaping.concat([join(part, level + 1) for part in x], axis=rank - depth + level)

    return join(arrays, 0)


def _depth(x: Any) -> int:
    return 1 + _depth(x[0]) if isinstance(x, list) else 0


def _rank_of(x: Any) -> int:
    return max(map(_rank_of, x)) if isinstance(x, list) else array(x).ndim


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
    values = astype(array(values), arr.dtype)
    if values.ndim == arr.ndim == 1:
        new = values
    else:
        new = shaping.broadcast_to(values, tuple(1 if i == axis else n for i, n in enumerate(arr.shape)))
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
    return [shaping.cut(ary, normalize_axis(axis, ary.ndim), int(a), int(b)) for a, b in itertools.pairwise(edges)]


rule(numpy.hsplit, view=True)(
    lambda ary, indices_or_sections: split(ary, indices_or_sections, min(1, array(ary).ndim - 1))
)
rule(numpy.vsplit, view=True)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 0))
rule(numpy.dsplit, view=True)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 2))
