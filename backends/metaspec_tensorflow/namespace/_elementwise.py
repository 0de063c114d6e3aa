"""Elementwise functions.

Where a function has no derivative, TensorFlow's convention stands: `maximum` and `minimum` give all of it to the first
argument at ties, `clip` passes it at its edges, `abs` has 0 at 0, `sqrt` infinity. `floor`, `ceil`, `round`, `trunc`,
`floor_divide` and `sign` have derivative 0 or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from metaspec_tensorflow.namespace._dtypes import KINDS
from metaspec_tensorflow.namespace._operands import Array, by_int64, operand, operands

_MAX_UNROLLED_POWER = 64


def _unary(name: str, op: Callable[[Array], Array], kind: str) -> Callable[[Array], Array]:
    def function(x: Array, /) -> Array:
        return op(operand(name, x, kind))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Elementwise `{name}` of an array of kind {kind!r}, as in the array API standard."
    return function


def _binary(name: str, op: Callable[[Array, Array], Array], kind: str) -> Callable[[Any, Any], Array]:
    def function(x1: Any, x2: Any, /) -> Array:
        return op(*operands(name, x1, x2, kind=kind))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Elementwise `{name}` of arrays of kind {kind!r}, as in the array API standard."
    return function


def _unless(kind: str, op: Callable[[Array], Array], other: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: other(x) if x.dtype in KINDS[kind] else op(x)


def _keep(x: Array) -> Array:
    return tf.identity(x)


def _false(x: Array) -> Array:
    return tf.zeros_like(x, dtype=tf.bool)


def _true(x: Array) -> Array:
    return tf.ones_like(x, dtype=tf.bool)


def _parts(test: Callable[[Array], Array], join: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    return _unless("complex floating", test, lambda x: join(test(tf.math.real(x)), test(tf.math.imag(x))))


acos = _unary("acos", tf.acos, "floating")
acosh = _unary("acosh", tf.acosh, "floating")
asin = _unary("asin", tf.asin, "floating")
asinh = _unary("asinh", tf.asinh, "floating")
atan = _unary("atan", tf.atan, "floating")
atanh = _unary("atanh", tf.atanh, "floating")
cos = _unary("cos", tf.cos, "floating")
cosh = _unary("cosh", tf.cosh, "floating")
sin = _unary("sin", tf.sin, "floating")
sinh = _unary("sinh", tf.sinh, "floating")
tan = _unary("tan", tf.tan, "floating")
tanh = _unary("tanh", tf.tanh, "floating")
exp = _unary("exp", tf.exp, "floating")
expm1 = _unary("expm1", tf.math.expm1, "floating")
log = _unary("log", tf.math.log, "floating")
log1p = _unary("log1p", tf.math.log1p, "floating")
log2 = _unary("log2", lambda x: tf.math.log(x) / math.log(2.0), "floating")
log10 = _unary("log10", lambda x: tf.math.log(x) / math.log(10.0), "floating")
sqrt = _unary("sqrt", tf.sqrt, "floating")
reciprocal = _unary("reciprocal", tf.math.reciprocal, "floating")
square = _unary("square", _unless("integral", tf.square, lambda x: x * x), "numeric")
positive = _unary("positive", _keep, "numeric")
negative = _unary("negative", lambda x: by_int64(tf.negative, x), "numeric")
abs = _unary("abs", _unless("unsigned integer", tf.abs, _keep), "numeric")
sign = _unary("sign", _unless("unsigned integer", tf.sign, lambda x: tf.cast(x != 0, x.dtype)), "numeric")
ceil = _unary("ceil", _unless("integral", tf.math.ceil, _keep), "real numeric")
floor = _unary("floor", _unless("integral", tf.floor, _keep), "real numeric")
round = _unary("round", _unless("integral", tf.round, _keep), "real numeric")
trunc = _unary(
    "trunc", _unless("integral", lambda x: tf.where(x < 0, tf.math.ceil(x), tf.floor(x)), _keep), "real numeric"
)
isfinite = _unary("isfinite", _unless("integral", _parts(tf.math.is_finite, tf.math.logical_and), _true), "numeric")
isinf = _unary("isinf", _unless("integral", _parts(tf.math.is_inf, tf.math.logical_or), _false), "numeric")
isnan = _unary("isnan", _unless("integral", _parts(tf.math.is_nan, tf.math.logical_or), _false), "numeric")
conj = _unary("conj", tf.math.conj, "numeric")
real = _unary("real", tf.math.real, "floating")
imag = _unary("imag", tf.math.imag, "complex floating")
logical_not = _unary("logical_not", tf.math.logical_not, "bool")
bitwise_invert = _unary("bitwise_invert", _unless("bool", tf.bitwise.invert, tf.math.logical_not), "integral or bool")

add = _binary("add", tf.add, "numeric")
subtract = _binary("subtract", tf.subtract, "numeric")
multiply = _binary("multiply", tf.multiply, "numeric")
divide = _binary("divide", tf.divide, "floating")
floor_divide = _binary("floor_divide", tf.math.floordiv, "real numeric")
remainder = _binary("remainder", tf.math.floormod, "real numeric")
atan2 = _binary("atan2", tf.atan2, "real floating")
nextafter = _binary("nextafter", tf.math.nextafter, "real floating")
maximum = _binary("maximum", tf.maximum, "real numeric")
minimum = _binary("minimum", tf.minimum, "real numeric")
equal = _binary("equal", tf.equal, "any")
not_equal = _binary("not_equal", tf.not_equal, "any")
less = _binary("less", tf.less, "real numeric")
less_equal = _binary("less_equal", tf.less_equal, "real numeric")
greater = _binary("greater", tf.greater, "real numeric")
greater_equal = _binary("greater_equal", tf.greater_equal, "real numeric")
logical_and = _binary("logical_and", tf.math.logical_and, "bool")
logical_or = _binary("logical_or", tf.math.logical_or, "bool")
logical_xor = _binary("logical_xor", tf.math.logical_xor, "bool")
bitwise_left_shift = _binary("bitwise_left_shift", tf.bitwise.left_shift, "integral")
bitwise_right_shift = _binary("bitwise_right_shift", tf.bitwise.right_shift, "integral")


def _bits(
    integral: Callable[[Array, Array], Array], logical: Callable[[Array, Array], Array]
) -> Callable[[Array, Array], Array]:
    return lambda a, b: logical(a, b) if a.dtype == tf.bool else integral(a, b)


bitwise_and = _binary("bitwise_and", _bits(tf.bitwise.bitwise_and, tf.math.logical_and), "integral or bool")
bitwise_or = _binary("bitwise_or", _bits(tf.bitwise.bitwise_or, tf.math.logical_or), "integral or bool")
bitwise_xor = _binary("bitwise_xor", _bits(tf.bitwise.bitwise_xor, tf.math.logical_xor), "integral or bool")


def _signbit(x: Array) -> Array:
    return tf.bitcast(x, {2: tf.int16, 4: tf.int32, 8: tf.int64}[x.dtype.size]) < 0


signbit = _unary("signbit", _signbit, "real floating")
copysign = _binary("copysign", lambda x, y: tf.where(tf.equal(_signbit(x), _signbit(y)), x, -x), "real floating")


def _logaddexp(x: Array, y: Array) -> Array:
    first = x >= y
    high, low = tf.where(first, x, y), tf.where(first, y, x)
    # Not |x - y|: its derivative 0 at x = y would spoil the halves that both sides are due there.
    return high + tf.math.softplus(tf.where(tf.math.is_finite(high), low - high, tf.zeros_like(high)))


logaddexp = _binary("logaddexp", _logaddexp, "real floating")


def _hypot(x: Array, y: Array) -> Array:
    largest = tf.stop_gradient(tf.maximum(tf.abs(x), tf.abs(y)))
    usable = tf.math.is_finite(largest) & (largest > 0)
    scale = tf.where(usable, largest, tf.ones_like(largest))
    infinite = tf.math.is_inf(x) | tf.math.is_inf(y)
    root = scale * safe_sqrt(tf.square(x / scale) + tf.square(y / scale))
    return tf.where(infinite, tf.constant(math.inf, x.dtype), root)


hypot = _binary("hypot", _hypot, "real floating")


def safe_sqrt(x: Array) -> Array:
    """Square root whose derivatives at 0 are 0: the subgradient of a norm, where `sqrt` would give nan."""
    zero = tf.equal(x, tf.zeros_like(x))
    return tf.where(zero, tf.zeros_like(x), tf.sqrt(tf.where(zero, tf.ones_like(x), x)))


def _integer_power(x: Array, n: int) -> Array:
    result, factor = None, x
    while n:
        if n & 1:
            result = factor if result is None else result * factor
        n >>= 1
        if n:
            factor = tf.square(factor)
    return tf.ones_like(x) if result is None else result


def pow(x1: Any, x2: Any, /) -> Array:
    """Elementwise `x1 ** x2`.

    A small whole number as exponent is multiplied out, so that every derivative is right at 0, where those of `tf.pow`
    are nan from some order on (`x ** 0`: the first, `x ** 1`: the second, `x ** 2`: the third).
    """
    base, exponent = operands("pow", x1, x2, kind="numeric")
    if isinstance(x2, (int, float)) and base.dtype in KINDS["floating"] and math.isfinite(x2):
        n = int(x2)
        if n == x2 and -_MAX_UNROLLED_POWER <= n <= _MAX_UNROLLED_POWER:
            return _integer_power(base, n) if n >= 0 else tf.math.reciprocal(_integer_power(base, -n))
    return by_int64(tf.pow, base, exponent)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """`minimum(maximum(x, min), max)` in the type of `x`; a bound of None does not bound."""
    value = operand("clip", x, "real numeric")
    dtype = value.dtype
    if min is not None:
        value = maximum(value, min)
    if max is not None:
        value = minimum(value, max)
    return tf.cast(value, dtype)


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    """`x1` where `condition` holds, `x2` elsewhere; one of the two may be a Python scalar."""
    first, second = operands("where", x1, x2)
    return tf.where(operand("where", condition, "bool"), first, second)
