"""NumPy's own functions on boxes: `np.tanh(x)`, `np.sum(x, axis=0)`, `np.concatenate(...)` go to the same rules."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from metaspec.errors import InvalidTypeError
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import contractions, einsum, elementwise, indexing, linalg, reductions, shaping
from metaspec_numpy.tracer.namespace import namespace
from metaspec_numpy.tracer.rules import elementwise as rules
from metaspec_numpy.tracer.rules.structure import astype, matrix_transpose


def reduction(f: Callable[..., Array]) -> Callable[..., Array]:
    """NumPy allows `axis` by position."""

    def reduce(x: Array, axis: Any = None, **options: Any) -> Array:
        return f(x, axis=axis, **_given(options))

    return reduce


def spread(f: Callable[..., Array]) -> Callable[..., Array]:
    """NumPy calls the correction `ddof`."""

    def reduce(x: Array, axis: Any = None, ddof: float = 0, **options: Any) -> Array:
        return f(x, axis=axis, **({"correction": ddof} | _given(options)))

    return reduce


def cumulation(f: Callable[..., Array]) -> Callable[..., Array]:
    """NumPy flattens where no axis is given."""

    def cumulate(x: Array, axis: int | None = None, **options: Any) -> Array:
        return f(shaping.flatten(x) if axis is None else x, axis=axis or 0, **_given(options))

    return cumulate


def _given(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("out") is not None:
        raise InvalidTypeError("out= has no meaning for a traced array, which is never changed in place")
    return {k: v for k, v in options.items() if v is not None and k != "out"}


def _axis_keyword(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=0, **options: f(x, axis=axis, **_given(options))


def argsort(x: Array, axis: int = -1, **options: Any) -> Array:
    return reductions.argsort(x, axis=axis)


def take(x: Array, indices: Any, axis: int | None = None) -> Array:
    return indexing.take(x, indices, axis=axis)


def repeat(x: Array, repeats: Any, axis: int | None = None) -> Array:
    return shaping.repeat(x, repeats, axis=axis)


def round_to(x: Array, decimals: int = 0) -> Array:
    scale = 10.0**decimals
    return rules.round_(x) if decimals == 0 else rules.round_(x * scale) / scale


def reshape_method(x: Array, *shape: Any) -> Array:
    return shaping.reshape(x, shape[0] if len(shape) == 1 else shape)


def transpose_method(x: Array, *axes: Any) -> Array:
    order = axes[0] if len(axes) == 1 and axes[0] is not None and not isinstance(axes[0], int) else axes
    return (
        shaping.permute_dims(x, order) if order and order != (None,) else shaping.permute_dims(x, range(x.ndim)[::-1])
    )


def _where(condition: Array, *branches: Any) -> Array:
    if len(branches) != 2:
        raise InvalidTypeError("np.where(condition) alone gives a result of unknown shape; give both branches")
    return rules.where(condition, *branches)


def _norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    if isinstance(axis, tuple) or (axis is None and x.ndim == 2 and ord is not None):
        return linalg.matrix_norm(x, ord=ord or "fro", keepdims=keepdims)
    return linalg.vector_norm(x, axis=axis, ord=2 if ord is None else ord, keepdims=keepdims)


def _clip(x: Array, a_min: Any = None, a_max: Any = None, **options: Any) -> Array:
    return elementwise.clip(x, options.get("min", a_min), options.get("max", a_max))


def _triangle(f: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, k=0: f(x, k=k)


def _diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    return linalg.diagonal(shaping.moveaxis(x, (axis1, axis2), (-2, -1)), offset=offset)


def _trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    return reductions.sum(_diagonal(x, offset, axis1, axis2), axis=-1)


def _squeeze(x: Array, axis: Any = None) -> Array:
    return shaping.squeeze(x, axis)


def _stack_along(axis: int, least: int) -> Callable[..., Array]:
    """Hstack and vstack: arrays of too low a rank get axes in front."""

    def join(arrays: Iterable[Array]) -> Array:
        parts = [shaping.reshape(x, (1,) * (least - x.ndim) + x.shape) for x in arrays]
        return shaping.concat(parts, axis=min(axis, parts[0].ndim - 1))

    return join


def _like(name: str) -> Callable[..., Array]:
    return lambda x, *args, **options: getattr(namespace(numpy), name)(x, *args, **_given(options))


UFUNCS: dict[str, Callable[..., Any]] = {
    "add": rules.add,
    "subtract": rules.subtract,
    "multiply": rules.multiply,
    "divide": rules.divide,
    "power": rules.power,
    "float_power": rules.power,
    "remainder": rules.remainder,
    "floor_divide": rules.floor_divide,
    "negative": rules.negative,
    "positive": rules.positive,
    "reciprocal": rules.reciprocal,
    "square": rules.square,
    "sqrt": rules.sqrt,
    "absolute": rules.absolute,
    "fabs": rules.absolute,
    "hypot": rules.hypot,
    "exp": rules.exp,
    "expm1": rules.expm1,
    "log": rules.log,
    "log1p": rules.log1p,
    "log2": rules.log2,
    "log10": rules.log10,
    "logaddexp": rules.logaddexp,
    "sin": rules.sin,
    "cos": rules.cos,
    "tan": rules.tan,
    "arcsin": rules.asin,
    "arccos": rules.acos,
    "arctan": rules.atan,
    "arctan2": rules.atan2,
    "sinh": rules.sinh,
    "cosh": rules.cosh,
    "tanh": rules.tanh,
    "arcsinh": rules.asinh,
    "arccosh": rules.acosh,
    "arctanh": rules.atanh,
    "maximum": rules.maximum,
    "minimum": rules.minimum,
    "sign": rules.sign,
    "floor": rules.floor,
    "ceil": rules.ceil,
    "rint": rules.round_,
    "trunc": rules.trunc,
    "isfinite": rules.isfinite,
    "isinf": rules.isinf,
    "isnan": rules.isnan,
    "signbit": rules.signbit,
    "copysign": rules.copysign,
    "equal": rules.equal,
    "not_equal": rules.not_equal,
    "less": rules.less,
    "less_equal": rules.less_equal,
    "greater": rules.greater,
    "greater_equal": rules.greater_equal,
    "logical_and": rules.logical_and,
    "logical_or": rules.logical_or,
    "logical_xor": rules.logical_xor,
    "logical_not": rules.logical_not,
    "bitwise_and": rules.bitwise_and,
    "bitwise_or": rules.bitwise_or,
    "bitwise_xor": rules.bitwise_xor,
    "invert": rules.bitwise_invert,
    "left_shift": rules.bitwise_left_shift,
    "right_shift": rules.bitwise_right_shift,
    "matmul": contractions.matmul,
    "vecdot": contractions.vecdot,
}

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    numpy.all: reduction(reductions.all),
    numpy.any: reduction(reductions.any),
    numpy.argmax: reduction(reductions.argmax),
    numpy.argmin: reduction(reductions.argmin),
    numpy.argsort: argsort,
    numpy.astype: astype,
    numpy.broadcast_arrays: shaping.broadcast_arrays,
    numpy.broadcast_to: shaping.broadcast_to,
    numpy.clip: _clip,
    numpy.concatenate: _axis_keyword(shaping.concat),
    numpy.count_nonzero: reduction(reductions.count_nonzero),
    numpy.cross: lambda a, b, axis=-1: linalg.cross(a, b, axis=axis),
    numpy.cumprod: cumulation(reductions.cumulative_prod),
    numpy.cumsum: cumulation(reductions.cumulative_sum),
    numpy.cumulative_prod: reductions.cumulative_prod,
    numpy.cumulative_sum: reductions.cumulative_sum,
    numpy.diagonal: _diagonal,
    numpy.diff: lambda x, n=1, axis=-1: reductions.diff(x, axis=axis, n=n),
    numpy.dot: contractions.dot,
    numpy.einsum: einsum.einsum,
    numpy.expand_dims: lambda x, axis: shaping.expand_dims(x, axis=axis),
    numpy.flip: lambda x, axis=None: shaping.flip(x, axis=axis),
    numpy.full_like: _like("full_like"),
    numpy.hstack: _stack_along(1, 1),
    numpy.inner: lambda a, b: contractions.tensordot(a, b, axes=((-1,), (-1,))),
    numpy.linalg.cholesky: linalg.cholesky,
    numpy.linalg.det: linalg.det,
    numpy.linalg.eigh: linalg.eigh,
    numpy.linalg.eigvalsh: linalg.eigvalsh,
    numpy.linalg.inv: linalg.inv,
    numpy.linalg.matrix_norm: linalg.matrix_norm,
    numpy.linalg.matrix_power: linalg.matrix_power,
    numpy.linalg.norm: _norm,
    numpy.linalg.qr: linalg.qr,
    numpy.linalg.slogdet: linalg.slogdet,
    numpy.linalg.solve: linalg.solve,
    numpy.linalg.vector_norm: linalg.vector_norm,
    numpy.matrix_transpose: matrix_transpose,
    numpy.max: reduction(reductions.max),
    numpy.mean: reduction(reductions.mean),
    numpy.min: reduction(reductions.min),
    numpy.moveaxis: shaping.moveaxis,
    numpy.ones_like: _like("ones_like"),
    numpy.outer: contractions.outer,
    numpy.pad: shaping.pad,
    numpy.prod: reduction(reductions.prod),
    numpy.ravel: shaping.flatten,
    numpy.repeat: repeat,
    numpy.reshape: shaping.reshape,
    numpy.roll: lambda x, shift, axis=None: shaping.roll(x, shift, axis=axis),
    numpy.round: round_to,
    numpy.sort: lambda x, axis=-1: reductions.sort(x, axis=axis),
    numpy.split: shaping.split,
    numpy.squeeze: _squeeze,
    numpy.stack: _axis_keyword(shaping.stack),
    numpy.std: spread(reductions.std),
    numpy.sum: reduction(reductions.sum),
    numpy.swapaxes: shaping.swapaxes,
    numpy.take: take,
    numpy.take_along_axis: lambda x, indices, axis=-1: indexing.take_along_axis(x, indices, axis=axis),
    numpy.tensordot: lambda a, b, axes=2: contractions.tensordot(a, b, axes=axes),
    numpy.tile: shaping.tile,
    numpy.trace: _trace,
    numpy.transpose: transpose_method,
    numpy.tril: _triangle(shaping.tril),
    numpy.triu: _triangle(shaping.triu),
    numpy.unstack: _axis_keyword(shaping.unstack),
    numpy.var: spread(reductions.var),
    numpy.vstack: _stack_along(0, 2),
    numpy.where: _where,
    numpy.zeros_like: _like("zeros_like"),
}


def array_ufunc(self: Box, ufunc: numpy.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy's hook for its elementwise functions."""
    rule = UFUNCS.get(ufunc.__name__)
    if method == "reduce" and ufunc.__name__ in ("add", "multiply", "maximum", "minimum"):
        name = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}[ufunc.__name__]
        return reduction(getattr(reductions, name))(*inputs, **({"axis": 0} | options))
    if rule is None or method != "__call__" or _given(options):
        how = "" if method == "__call__" else f".{method}"
        raise InvalidTypeError(
            f"numpy.{ufunc.__name__}{how} with options {sorted(options)} has no rule for traced arrays; "
            "compose it of functions of the array API (xp = ms.array_namespace(x))"
        )
    return rule(*inputs)


def array_function(self: Box, f: Any, types: Any, args: Any, options: Any) -> Any:
    """NumPy's hook for all of its other functions."""
    rule = FUNCTIONS.get(f)
    if rule is None:
        raise InvalidTypeError(
            f"{f.__module__}.{f.__name__} has no rule for traced arrays; "
            "compose it of functions of the array API (xp = ms.array_namespace(x))"
        )
    return rule(*args, **options)
