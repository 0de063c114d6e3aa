"""NumPy's functions that write to their first argument."""

import functools
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import indexing_functions as indexing
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions import shaping, writing
from metaspec_numpy.tracer.numpy_api.reshaping import resize
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules import elementwise_rules as rules


def _written(f: Callable[..., None]) -> Callable[..., None]:
    """A traced target is written to; one of NumPy's own cannot hold what is traced."""

    @functools.wraps(f)
    def write(target: Any, *args: Any, **options: Any) -> None:
        if not isinstance(target, Box):
            raise InvalidTypeError(
                "the values to write are traced, and the target is an array of NumPy's, which holds plain numbers "
                "only. Put arrays together with np.stack, np.concatenate or np.where, or write to np.zeros_like(traced "
                "array)."
            )
        f(target, *args, **options)

    return write


@rule(numpy.copyto)
@_written
def copyto(dst: Box, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    writing.assign(dst, array(src), casting, where_=where)


@rule(numpy.put)
@_written
def put(a: Box, ind: Any, v: Any, mode: str = "raise") -> None:
    if mode not in ("raise", "wrap", "clip"):
        raise InvalidArgumentError(f"put: mode {mode!r}; expected 'raise', 'wrap' or 'clip'")
    ind = shaping.reshape(array(ind), -1)
    if mode == "clip":
        ind = rules.minimum(rules.maximum(ind, 0), a.size - 1)
    elif mode == "wrap":
        ind = rules.remainder(ind, a.size)
    elif not isinstance(ind, Box) and ind.size and not -a.size <= ind.min() <= ind.max() < a.size:
        raise IndexError(f"put: indices from {ind.min()} to {ind.max()} for an array of {a.size} elements")
    ind = rules.where(rules.less(ind, 0), ind + a.size, ind)
    writing.put(a, ind, resize(v, ind.size))


@rule(numpy.putmask)
@_written
def putmask(a: Box, mask: Any, values: Any) -> None:
    writing.assign(a, shaping.reshape(resize(values, a.size), a.shape), "unsafe", where_=array(mask))


@rule(numpy.place)
@_written
def place(arr: Box, mask: Any, vals: Any) -> None:
    number = reductions.cumulative_sum(rules.where(shaping.reshape(array(mask), -1), 1, 0), axis=0) - 1
    vals = shaping.reshape(array(vals), -1)
    values = indexing.take(vals, rules.remainder(rules.maximum(number, 0), vals.size), axis=0)
    writing.assign(arr, shaping.reshape(values, arr.shape), "unsafe", where_=array(mask))


@rule(numpy.put_along_axis)
@_written
def put_along_axis(arr: Box, indices: Any, values: Any, axis: int | None) -> None:
    if axis is None:
        put(arr, indices, values)
        return
    writing.setitem(arr, indexing.along_axis_key(arr, array(indices), axis), values)


@rule(numpy.fill_diagonal)
@_written
def fill_diagonal(a: Box, val: Any) -> None:
    n = min(a.shape)
    where = tuple([numpy.arange(n)] * a.ndim)
    writing.setitem(a, where, resize(val, n) if numpy.ndim(val) or isinstance(val, Box) else val)


def fill(x: Box, value: Any) -> None:
    writing.assign(x, array(value), "unsafe")


def sort(x: Box, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    writing.assign(x, reductions.sort(x, axis=axis))


def put_method(x: Box, indices: Any, values: Any, mode: str = "raise") -> Array:
    return put(x, indices, values, mode)


def set_flat(x: Box, values: Any) -> None:
    """`x.flat = values`, which are repeated as often as x has room."""
    writing.assign(x, shaping.reshape(resize(values, x.size), x.shape), "unsafe")
