"""Elementwise primitives: each row of the table is the chain rule of one function, argument by argument.

A row's rule `(g, z, x, ...) -> g * dz/dx` serves forward mode (g is a tangent) and reverse mode (g is a cotangent)
alike. Where the function has a kink, this is the derivative that is taken:

    abs(x), hypot(x, y) at 0              0
    maximum(x, y), minimum(x, y) at x=y   one half to each
    clip(x, lo, hi) at an edge            one half (clip is a maximum and a minimum)
    x**0, also at x = 0                   0
    sign, floor, ceil, round, trunc, x // y, comparisons      0 everywhere
    remainder(x, y)                       1 in x, -floor(x / y) in y
    max, min over tied elements           shared equally
    vector_norm, std at 0                 0
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Box, Primitive, namespace_of, shape_of
from metaspec_numpy.tracer.rules.structure import batch_elementwise, spread, sum_to

Chain = Callable[..., Array | None]


def call(name: str) -> Callable[..., Array]:
    """The implementation of a primitive that every namespace has under this name."""
    return lambda xp, *args, **params: getattr(xp, name)(*args, **params)


def define(name: str, chains: Sequence[Chain | None] = (), impl: Callable[..., Array] | None = None) -> Primitive:
    """A primitive from its row: one chain rule for each argument, None where the derivative in it is zero."""

    def jvp(tangents: Sequence[Array | None], out: Array, *args: Any, **params: Any) -> Array | None:
        total: Array | None = None
        for chain, t in zip(chains, tangents, strict=True):
            term = chain(t, out, *args, **params) if chain is not None and t is not None else None
            if term is not None:
                total = term if total is None else add(total, term)
        return total if total is None or len(args) == 1 else spread(total, out.shape)

    def vjp(argnum: int, g: Array, out: Array, *args: Any, **params: Any) -> Array | None:
        chain = chains[argnum]
        term = None if chain is None else chain(g, out, *args, **params)
        return term if term is None or len(args) == 1 else sum_to(term, args[argnum].shape)

    primitive: Primitive = Primitive(
        name,
        impl or call(name),
        jvp=jvp if chains else None,
        vjp=vjp if chains else None,
        batch=lambda size, flags, args, params: batch_elementwise(primitive)(size, flags, args, params),
    )
    return primitive


def _softplus(xp: Any, x: Array) -> Array:
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def _sigmoid(xp: Any, x: Array) -> Array:
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def _balance(xp: Any, x: Any, y: Any) -> Array:
    """1 where x > y, 0 where x < y, one half at a tie; in the floating dtype of the arguments."""
    like = x if hasattr(x, "dtype") else y
    if xp is numpy:
        above, tie = numpy.greater(x, y).astype(numpy.result_type(x, y)), numpy.equal(x, y)
        return numpy.where(tie, 0.5, above) if tie.any() else above
    one, zero = xp.ones((), dtype=like.dtype), xp.zeros((), dtype=like.dtype)
    return xp.where(x > y, one, xp.where(x == y, 0.5 * one, zero))


def _pow_base(g: Array, z: Array, x: Any, y: Any) -> Array | None:
    if not isinstance(y, Box) and shape_of(y) == ():
        exponent = float(y)
        if exponent == 0:
            return None
        if exponent == 1:
            return g
        return g * (y * (x if exponent == 2 else power(x, y - 1)))
    zero = equal(y, 0)
    return where(zero, 0.0, g * (y * power(x, where(zero, 1.0, y - 1.0))))


def _pow_exponent(g: Array, z: Array, x: Any, y: Any) -> Array:
    x = _array(x, z)
    return g * (z * log(where(equal(x, 0), 1.0, x)))


def _array(x: Any, like: Array) -> Array:
    """A Python scalar in the dtype of `like`: its logarithm or square must neither promote nor lose digits."""
    return x if hasattr(x, "shape") else namespace_of(like).asarray(x, dtype=like.dtype)


def _atan2(g: Array, z: Array, numerator: Any, y: Any, x: Any) -> Array:
    return g * (numerator / (square(_array(x, z)) + square(_array(y, z))))


def _copysign(g: Array, z: Array, x: Array, y: Any) -> Array:
    return where(equal(signbit(x), signbit(_array(y, z))), g, negative(g))


def _ratio(x: Any, z: Array) -> Array:
    """X / z, and 0 with all its derivatives where z is 0."""
    zero = equal(z, 0)
    return where(zero, 0.0, x / where(zero, 1.0, z))


# Arithmetic
add: Primitive = define("add", [lambda g, z, x, y: g, lambda g, z, x, y: g])
subtract: Primitive = define("subtract", [lambda g, z, x, y: g, lambda g, z, x, y: negative(g)])
multiply: Primitive = define("multiply", [lambda g, z, x, y: multiply(g, y), lambda g, z, x, y: multiply(g, x)])
divide: Primitive = define(
    "divide", [lambda g, z, x, y: divide(g, y), lambda g, z, x, y: negative(multiply(divide(g, y), z))]
)
power: Primitive = define("pow", [_pow_base, _pow_exponent])
remainder: Primitive = define("remainder", [lambda g, z, x, y: g, lambda g, z, x, y: g * -floor_divide(x, y)])
negative: Primitive = define("negative", [lambda g, z, x: negative(g)])
positive: Primitive = define("positive", [lambda g, z, x: g])
reciprocal: Primitive = define("reciprocal", [lambda g, z, x: negative(g * square(z))])
square: Primitive = define("square", [lambda g, z, x: g * (2.0 * x)])
sqrt: Primitive = define("sqrt", [lambda g, z, x: g * (0.5 / z)])
absolute: Primitive = define("abs", [lambda g, z, x: g * sign(x)])
hypot: Primitive = define("hypot", [lambda g, z, x, y: g * _ratio(x, z), lambda g, z, x, y: g * _ratio(y, z)])

# Exponentials and logarithms
exp: Primitive = define("exp", [lambda g, z, x: g * z])
expm1: Primitive = define("expm1", [lambda g, z, x: g * (z + 1.0)])
log: Primitive = define("log", [lambda g, z, x: g / x])
log1p: Primitive = define("log1p", [lambda g, z, x: g / (1.0 + x)])
log2: Primitive = define("log2", [lambda g, z, x: g / (x * _ln(2, x))])
log10: Primitive = define("log10", [lambda g, z, x: g / (x * _ln(10, x))])
logaddexp: Primitive = define(
    "logaddexp", [lambda g, z, x, y: g * sigmoid(x - y), lambda g, z, x, y: g * sigmoid(y - x)]
)
sigmoid: Primitive = define("sigmoid", [lambda g, z, x: g * (z * (1.0 - z))], _sigmoid)
softplus: Primitive = define("softplus", [lambda g, z, x: g * sigmoid(x)], _softplus)

# Circular and hyperbolic functions
sin: Primitive = define("sin", [lambda g, z, x: g * cos(x)])
cos: Primitive = define("cos", [lambda g, z, x: negative(g * sin(x))])
tan: Primitive = define("tan", [lambda g, z, x: g * (1.0 + square(z))])
asin: Primitive = define("asin", [lambda g, z, x: g / sqrt((1.0 - x) * (1.0 + x))])
acos: Primitive = define("acos", [lambda g, z, x: negative(g / sqrt((1.0 - x) * (1.0 + x)))])
atan: Primitive = define("atan", [lambda g, z, x: g / (1.0 + square(x))])
atan2: Primitive = define(
    "atan2",
    [lambda g, z, y, x: _atan2(g, z, x, y, x), lambda g, z, y, x: negative(_atan2(g, z, y, y, x))],
)
sinh: Primitive = define("sinh", [lambda g, z, x: g * cosh(x)])
cosh: Primitive = define("cosh", [lambda g, z, x: g * sinh(x)])
tanh: Primitive = define("tanh", [lambda g, z, x: g * (1.0 - square(z))])
asinh: Primitive = define("asinh", [lambda g, z, x: g / hypot(x, 1.0)])
acosh: Primitive = define("acosh", [lambda g, z, x: g / sqrt((x - 1.0) * (x + 1.0))])
atanh: Primitive = define("atanh", [lambda g, z, x: g / ((1.0 - x) * (1.0 + x))])

# Choice
maximum: Primitive = define("maximum", [lambda g, z, x, y: g * balance(x, y), lambda g, z, x, y: g * balance(y, x)])
minimum: Primitive = define("minimum", [lambda g, z, x, y: g * balance(y, x), lambda g, z, x, y: g * balance(x, y)])
where: Primitive = define(
    "where", [None, lambda g, z, c, x, y: where(c, g, 0.0), lambda g, z, c, x, y: where(c, 0.0, g)]
)

# Derivative zero
balance: Primitive = define("balance", impl=_balance)
stop_gradient: Primitive = define("stop_gradient", impl=lambda xp, x: x)
floor_divide: Primitive = define("floor_divide")
sign: Primitive = define("sign")
floor: Primitive = define("floor")
ceil: Primitive = define("ceil")
round_: Primitive = define("round")
trunc: Primitive = define("trunc")
isfinite: Primitive = define("isfinite")
isinf: Primitive = define("isinf")
isnan: Primitive = define("isnan")
signbit: Primitive = define("signbit")
copysign: Primitive = define("copysign", [_copysign, None])
equal: Primitive = define("equal")
not_equal: Primitive = define("not_equal")
less: Primitive = define("less")
less_equal: Primitive = define("less_equal")
greater: Primitive = define("greater")
greater_equal: Primitive = define("greater_equal")
logical_and: Primitive = define("logical_and")
logical_or: Primitive = define("logical_or")
logical_xor: Primitive = define("logical_xor")
logical_not: Primitive = define("logical_not")
bitwise_and: Primitive = define("bitwise_and")
bitwise_or: Primitive = define("bitwise_or")
bitwise_xor: Primitive = define("bitwise_xor")
bitwise_invert: Primitive = define("bitwise_invert")
bitwise_left_shift: Primitive = define("bitwise_left_shift")
bitwise_right_shift: Primitive = define("bitwise_right_shift")


def _ln(base: int, x: Array) -> Array:
    """The natural logarithm of `base` to the precision of x's dtype."""
    return log(_array(float(base), x))
