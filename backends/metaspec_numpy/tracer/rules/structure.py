"""Linear primitives that rearrange, spread and sum: the adjoints of one another.

reshape <-> reshape      permute <-> permute      broadcast_to <-> sum
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.core import Array, Params, Primitive, Shape, raw_namespace, raw_value, shape_of
from metaspec_numpy.tracer.links import read_only


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def normalize_axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise InvalidArgumentError(f"axis {axis} is out of bounds for an array of rank {ndim}")
    return int(axis) % ndim


def normalize_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """All axes for None; otherwise the given ones, from 0 up, in increasing order."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if not isinstance(axis, tuple | list) else axis
    return tuple(sorted(normalize_axis(a, ndim) for a in axes))


def keepdims_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def sum_to(x: Array, shape: Shape) -> Array:
    """The adjoint of broadcasting from `shape`: sums over the axes that broadcasting would add or stretch."""
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    stretched = tuple(i for i, n in enumerate(x.shape) if i < extra or (shape[i - extra] == 1 and n != 1))
    if len(stretched) == extra:
        return sum_p(x, axis=stretched, keepdims=False)
    total = sum_p(x, axis=stretched, keepdims=True)
    return reshape(total, shape=shape) if extra else total


def spread(x: Array, shape: Shape) -> Array:
    """`x` itself where it has `shape`, else broadcast to it."""
    return x if x.shape == shape else broadcast_to(x, shape=shape)


def align(args: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """Batched arguments of lower rank get axes of length 1 behind the batch axis, so that they broadcast rightly."""
    ranks = [len(shape_of(arg)) - flag for arg, flag in zip(args, flags, strict=True)]
    top = max(ranks)
    return [
        reshape(arg, shape=(arg.shape[0], *(1,) * (top - rank), *arg.shape[1:])) if flag and rank < top else arg
        for arg, flag, rank in zip(args, flags, ranks, strict=True)
    ]


def fold(x: Array, axes: Sequence[int], *, keepdims: bool, shape: Shape) -> Array:
    """Spreads `x`, the result of reducing an array of `shape` over `axes`, back over that shape."""
    if not keepdims:
        x = reshape(x, shape=keepdims_shape(shape, axes))
    return broadcast_to(x, shape=shape)


def batch_elementwise(primitive: Primitive) -> Any:
    """The batch rule of everything that acts on each element by itself."""

    def rule(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
        return primitive(*(align(args, flags) if len(args) > 1 else args), **params)

    return rule


def batch_axes(primitive: Primitive) -> Any:
    """The batch rule of a reduction: its axes move up by one."""

    def rule(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
        return primitive(*args, **{**params, "axis": tuple(a + 1 for a in params["axis"])})

    return rule


def _batch_broadcast(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
    (x,), shape = args, params["shape"]
    lifted = reshape(x, shape=(size, *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:])) if x.ndim <= len(shape) else x
    return broadcast_to(lifted, shape=(size, *shape))


def sums_rows(shape: Shape, dtype: Any, axis: tuple[int, ...]) -> bool:
    """Whether to sum NumPy's arrays over `axis` as a product with a row of ones: BLAS does that at twice the speed."""
    return axis == (len(shape) - 2,) and dtype.char in "fd" and shape[-1] > 1


@functools.cache
def row_of_ones(length: int, dtype: Any) -> Array:
    ones = numpy.ones((1, length), dtype=dtype)
    ones.flags.writeable = False
    return ones


def _sum(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    if xp is not numpy:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    if not sums_rows(x.shape, x.dtype, axis):
        return xp.add.reduce(x, axis, None, None, keepdims)
    total = numpy.matmul(row_of_ones(x.shape[-2], x.dtype), x)
    return total if keepdims else total.reshape(*x.shape[:-2], x.shape[-1])


def _astype(xp: Any, x: Array, *, dtype: Any) -> Array:
    return xp.astype(x, dtype) if hasattr(x, "astype") or xp.__name__ != "numpy" else xp.asarray(x, dtype=dtype)


reshape: Primitive = Primitive(
    "reshape",
    lambda xp, x, *, shape: xp.reshape(x, shape),
    jvp=lambda ts, out, x, *, shape: reshape(*ts, shape=shape),
    vjp=lambda i, g, out, x, *, shape: reshape(g, shape=x.shape),
    batch=lambda size, flags, args, params: reshape(*args, shape=(size, *params["shape"])),
    undo=lambda x, new, *, shape: reshape(new, shape=x.shape),
)

permute: Primitive = Primitive(
    "permute",
    lambda xp, x, *, axes: xp.permute_dims(x, axes),
    jvp=lambda ts, out, x, *, axes: permute(*ts, axes=axes),
    vjp=lambda i, g, out, x, *, axes: permute(g, axes=inverse(axes)),
    batch=lambda size, flags, args, params: permute(*args, axes=(0, *(a + 1 for a in params["axes"]))),
    undo=lambda x, new, *, axes: permute(new, axes=inverse(axes)),
)

broadcast_to: Primitive = Primitive(
    "broadcast_to",
    lambda xp, x, *, shape: xp.broadcast_to(x, shape),
    jvp=lambda ts, out, x, *, shape: broadcast_to(*ts, shape=shape),
    vjp=lambda i, g, out, x, *, shape: sum_to(g, x.shape),
    batch=_batch_broadcast,
    undo=read_only,
)

sum_p: Primitive = Primitive(
    "sum",
    _sum,
    jvp=lambda ts, out, x, *, axis, keepdims: sum_p(*ts, axis=axis, keepdims=keepdims),
    vjp=lambda i, g, out, x, *, axis, keepdims: fold(g, axis, keepdims=keepdims, shape=x.shape),
    batch=lambda size, flags, args, params: batch_axes(sum_p)(size, flags, args, params),
)

astype_p: Primitive = Primitive(
    "astype",
    _astype,
    jvp=lambda ts, out, x, *, dtype: astype(ts[0], dtype) if _is_float_dtype(out, dtype) else None,
    vjp=lambda i, g, out, x, *, dtype: astype(g, x.dtype) if _is_float_dtype(out, dtype) else None,
    batch=lambda size, flags, args, params: astype_p(*args, **params),
)


def _is_float_dtype(x: Array, dtype: Any) -> bool:
    return bool(raw_namespace([raw_value(x)]).isdtype(dtype, "real floating"))


def astype(x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    """`x` in another dtype; between floating-point dtypes this has a derivative."""
    return x if x.dtype == dtype else astype_p(x, dtype=dtype)


def matrix_transpose(x: Array) -> Array:
    """Swaps the last two axes."""
    n = x.ndim
    if n < 2:
        raise InvalidArgumentError(f"matrix_transpose needs an array of rank 2 or more; this one has shape {x.shape}")
    return permute(x, axes=(*range(n - 2), n - 1, n - 2))


def expand(x: Array, axis: int) -> Array:
    """A new axis of length 1 at `axis`, which is counted in the result."""
    axis = normalize_axis(axis, x.ndim + 1)
    return reshape(x, shape=(*x.shape[:axis], 1, *x.shape[axis:]))


def count(shape: Shape, axes: Sequence[int]) -> int:
    """The number of elements that a reduction over `axes` takes together."""
    return math.prod(shape[a] for a in axes)
