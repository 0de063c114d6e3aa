"""NumPy's elementwise functions and their methods: `reduce`, `accumulate`, `outer` and `at`."""

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import contractions, shaping, writing
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.numpy_api import scipy_special
from metaspec_numpy.tracer.numpy_api.refusals import instead_of
from metaspec_numpy.tracer.numpy_api.rule import array, guarded, refuse_options, write_out
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules import numpy_only
from metaspec_numpy.tracer.rules.structure import astype, matrix_transpose

SAME = """
    add subtract multiply divide remainder floor_divide negative positive reciprocal square sqrt hypot exp expm1 log
    log1p log2 log10 logaddexp sin cos tan sinh cosh tanh maximum minimum sign floor ceil trunc isfinite isinf isnan
    signbit copysign equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not bitwise_and bitwise_or bitwise_xor absolute power
"""
RENAMED = {
    "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh", "fabs": "absolute", "rint": "round_", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
}  # fmt: skip


def fmax(x: Array, y: Array) -> Array:
    return rules.maximum(rules.where(rules.isnan(x), y, x), rules.where(rules.isnan(y), x, y))


def fmin(x: Array, y: Array) -> Array:
    return rules.minimum(rules.where(rules.isnan(x), y, x), rules.where(rules.isnan(y), x, y))


def heaviside(x: Array, at_zero: Array) -> Array:
    step = astype(rules.greater(x, 0), x.dtype)
    return rules.where(rules.equal(x, 0), at_zero, rules.where(rules.isnan(x), x, step))


def float_power(x: Any, y: Any) -> Array:
    x, y = (z if isinstance(z, int | float) else array(z) for z in (x, y))
    x, y = (astype(z, numpy.result_type(z.dtype, float)) if hasattr(z, "dtype") else z for z in (x, y))
    return rules.power(x, y)


def vecmat(x: Any, a: Any) -> Array:
    column = shaping.expand_dims(conjugate(array(x)), axis=-1)
    return contractions.matmul(matrix_transpose(array(a)), column)[..., 0]


def modf(x: Array) -> tuple[Array, Array]:
    whole = rules.trunc(x)
    return rules.where(rules.isinf(x), rules.copysign(0.0, x), x - whole), whole


def ldexp(x: Array, exponent: Array) -> Array:
    return x * astype(rules.power(2.0, exponent), x.dtype)


UFUNCS: dict[str, Callable[..., Any]] = {
    **{name: getattr(rules, name) for name in SAME.split()},
    **{name: getattr(rules, ours) for name, ours in RENAMED.items()},
    "cbrt": numpy_only.cbrt,
    "exp2": numpy_only.exp2,
    "logaddexp2": numpy_only.logaddexp2,
    "fmod": numpy_only.fmod,
    "degrees": lambda x: x * (180.0 / math.pi),
    "rad2deg": lambda x: x * (180.0 / math.pi),
    "radians": lambda x: x * (math.pi / 180.0),
    "deg2rad": lambda x: x * (math.pi / 180.0),
    "conjugate": lambda x: rules.positive(conjugate(x)),
    "divmod": lambda x, y: (rules.floor_divide(x, y), rules.remainder(x, y)),
    "fmax": fmax,
    "fmin": fmin,
    "float_power": float_power,
    "heaviside": heaviside,
    "modf": modf,
    "ldexp": ldexp,
    "matmul": contractions.matmul,
    "vecdot": contractions.vecdot,
    "matvec": lambda a, x: contractions.matmul(array(a), shaping.expand_dims(array(x), axis=-1))[..., 0],
    "vecmat": vecmat,
}

REDUCTIONS: dict[str, tuple[Callable[..., Any], Any]] = {  # with the neutral element
    "add": (reductions.sum, 0),
    "multiply": (reductions.prod, 1),
    "maximum": (reductions.max, None),
    "minimum": (reductions.min, None),
    "logical_and": (reductions.all, True),
    "logical_or": (reductions.any, False),
    "logaddexp": (reductions.logsumexp, -math.inf),
}


def _known(name: str) -> str:
    return "frompyfunc" if name.endswith("(vectorized)") else name


def array_ufunc(self: Box, ufunc: numpy.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """The result of an elementwise function of NumPy's or SciPy's, or of one of its methods."""
    name = ufunc.__name__
    modules = [sys.modules[m] for m in ("numpy", "scipy.special") if m in sys.modules]
    label = next((f"{m.__name__}.{name}" for m in modules if hasattr(m, name)), name)
    f = UFUNCS.get(name) or scipy_special.UFUNCS.get(name)
    if method != "__call__":
        label += f".{method}"
    if f is None:
        raise UnsupportedError(f"{label} has no rule for traced arrays; {instead_of(_known(name))}")
    options = {
        k: v for k, v in options.items() if v is not numpy._NoValue and k != "subok" and (v is not None or k == "axis")
    }
    out, where = options.pop("out", None), options.pop("where", True)
    options.pop("order", None)
    if method == "at":
        return at(label, name, *inputs)
    if method == "__call__" or method == "outer":
        options.pop("casting", None)
        if where is not True and out is None:
            raise UnsupportedError(
                f"{label}: where= without out= leaves entries undefined; use np.where(mask, f(x), x)"
            )
        if method == "outer":
            a, b = (array(x) for x in inputs)
            inputs = shaping.expand_dims(a, axis=tuple(range(a.ndim, a.ndim + b.ndim))), b
        dtype = options.pop("dtype", None)
        if dtype is not None:
            inputs = tuple(astype(array(x), numpy.dtype(dtype)) for x in inputs)
        if options:
            refuse_options(label, sorted(options))
        result = guarded(label, f, *inputs)
    elif method == "reduce":
        result = guarded(label, reduce, name, f, *inputs, **({} if where is True else {"where": where}), **options)
        where = True
    elif method == "accumulate":
        result = guarded(label, accumulate, name, f, *inputs, **options)
    else:
        raise UnsupportedError(f"{label} has no rule for traced arrays; reduce slices: np.add.reduce(x[i:j])")
    return fresh(result) if out is None else write_out(label, out, result, where)


def reduce(
    name: str,
    f: Any,
    x: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Array:
    """The reduction by a binary function; the first and the next element first, where it has no function of its own."""
    x = array(x) if dtype is None else astype(array(x), numpy.dtype(dtype))
    if name in REDUCTIONS:
        whole, neutral = REDUCTIONS[name]
        found = reduced(whole, f, neutral, x, axis, keepdims, initial, where)
        return found if dtype is None else astype(found, numpy.dtype(dtype))  # it was widened
    if where is not True or x.ndim == 0 or (axis is None and x.ndim > 1) or isinstance(axis, tuple):
        raise UnsupportedError(
            "reduce over several axes, or with where=, has a rule for add, multiply and extrema only"
        )
    parts = shaping.unstack(x, axis=axis or 0)
    start = [] if initial is None else [initial]
    if not parts and not start:
        raise UnsupportedError("reduce of no elements")
    total = functools.reduce(f, [*start, *parts])
    return shaping.expand_dims(total, axis=axis) if keepdims else total


def reduced_axis(x: Array, axis: Any) -> Any:
    """NumPy reduces a single number along "axis" 0 or -1 too."""
    return None if x.ndim == 0 and axis in (0, -1) else axis


def reduced(whole: Any, f: Any, neutral: Any, x: Array, axis: Any, keepdims: Any, initial: Any, where: Any) -> Array:
    """A reduction with NumPy's `initial` and `where`."""
    axis = reduced_axis(x, axis)
    if where is not True:
        fill = neutral if neutral is not None else initial
        if fill is None:
            raise UnsupportedError("where= of an extremum needs initial=, in NumPy too")
        x = rules.where(where, x, fill)
    if initial is None:
        return whole(x, axis=axis, keepdims=bool(keepdims))
    if neutral is not None:
        return f(whole(x, axis=axis, keepdims=bool(keepdims)), initial)
    along = (axis,) if isinstance(axis, int) else range(x.ndim) if axis is None else axis
    a = next(iter(along), None)
    if a is None or not x.size:
        shape = numpy.max(numpy.zeros(x.shape), axis=axis, keepdims=bool(keepdims), initial=0).shape
        return f(x, initial) if x.size else shaping.broadcast_to(array(initial), shape)
    return f(whole(x, axis=axis, keepdims=bool(keepdims)), initial)


def accumulate(name: str, f: Any, x: Any, axis: int = 0, dtype: Any = None) -> Array:
    """The results of reducing the first 1, 2, ... elements."""
    x = array(x) if dtype is None else astype(array(x), numpy.dtype(dtype))
    if name == "add":
        return reductions.cumulative_sum(x, axis=axis, dtype=None if dtype is None else x.dtype)
    if name == "multiply":
        return reductions.cumulative_prod(x, axis=axis, dtype=None if dtype is None else x.dtype)
    parts = list(shaping.unstack(x, axis=axis))
    for i in range(1, len(parts)):
        parts[i] = f(parts[i - 1], parts[i])
    return shaping.stack(parts, axis=axis) if parts else x


def at(label: str, name: str, x: Any, key: Any, *values: Any) -> None:
    """`ufunc.at`: unbuffered writes to repeated places."""
    if not isinstance(x, Box):
        write_out(label, x, None)
    if name not in ("add", "subtract"):
        raise UnsupportedError(f"{label} has no rule for traced arrays; np.add.at and np.subtract.at have")
    guarded(label, writing.add_at, x, key, *values, sign=1 if name == "add" else -1)
