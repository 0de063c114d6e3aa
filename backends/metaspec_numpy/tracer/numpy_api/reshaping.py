"""NumPy's functions that join, split, reorder and repeat arrays."""

import math
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions import shaping
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules.indexing_rules import take_p
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
rule(numpy.tril)(lambda m, k=0: shaping.tril(_rows(array(m)), k=k))
rule(numpy.triu)(lambda m, k=0: shaping.triu(_rows(array(m)), k=k))


def _rows(m: Array) -> Array:
    """A vector as each row of a matrix, as NumPy's `tril` takes it."""
    return shaping.broadcast_to(m, (m.size, m.size)) if m.ndim == 1 else m


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


def at_least(rank: int) -> Callable[..., Any]:
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
    rule(_function, view=True)(at_least(_rank))


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
    kind = numpy.result_type(*(x if isinstance(x, int | float) else array(x).dtype for x in (start, stop)), 1.0)
    start, stop = (shaping.expand_dims(x, axis=0) for x in shaping.broadcast_arrays(array(start), array(stop)))
    parts = num - 1 if endpoint else num
    weights = numpy.arange(num, dtype=float).reshape(-1, *(1,) * (start.ndim - 1))
    step = (stop - start) / parts if parts > 0 else (stop - start) * numpy.nan
    points = start + weights * (step if parts > 0 else stop - start)
    if endpoint and num > 1:
        points = shaping.concat([shaping.cut(points, 0, 0, -1), stop], axis=0)
    points = shaping.moveaxis(astype(points, kind if dtype is None else numpy.dtype(dtype)), 0, axis)
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
