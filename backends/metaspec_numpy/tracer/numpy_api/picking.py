"""NumPy's functions that pick elements, diagonals among them, or place them in a larger array."""

from typing import Any, cast

import numpy

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import indexing_functions as indexing
from metaspec_numpy.tracer.functions import linalg_functions as linalg
from metaspec_numpy.tracer.functions import shaping
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules.indexing_rules import place, take_p
from metaspec_numpy.tracer.rules.structure import astype, normalize_axis


@rule(numpy.take)
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Array:
    a, indices = array(a), array(indices)
    a = a if a.ndim else shaping.reshape(a, 1)
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
    x = astype(x, numpy.promote_types(x.dtype, int))
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
    if not x.ndim:
        return x
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(a, pad_width.get(a - x.ndim, (0, 0))) for a in range(x.ndim)]
    widths = numpy.broadcast_to(numpy.asarray(pad_width, dtype=int), (x.ndim, 2))
    if mode in ("edge", "reflect", "symmetric", "wrap") and reflect_type == "even":
        for axis, width in enumerate(widths):
            x = take_p(x, numpy.pad(numpy.arange(x.shape[axis]), width, mode=cast(Any, mode)), axis=axis)
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
