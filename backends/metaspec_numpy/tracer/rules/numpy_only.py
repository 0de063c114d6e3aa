"""Elementwise primitives that NumPy has beyond the array API's standard."""

import math

from metaspec_numpy.tracer.core import Array, Primitive
from metaspec_numpy.tracer.rules.elementwise_rules import define, divide, log, multiply, sigmoid, square, trunc


def _ln2(z: Array) -> Array:
    return log(z * 0.0 + 2.0) if z.dtype.char == "g" else math.log(2.0)


cbrt: Primitive = define("cbrt", [lambda g, z, x: g / (3.0 * square(z))])
exp2: Primitive = define("exp2", [lambda g, z, x: g * multiply(z, _ln2(z))])
fmod: Primitive = define("fmod", [lambda g, z, x, y: g, lambda g, z, x, y: g * -trunc(divide(x, y))])
logaddexp2: Primitive = define(
    "logaddexp2",
    [lambda g, z, x, y: g * sigmoid((x - y) * _ln2(z)), lambda g, z, x, y: g * sigmoid((y - x) * _ln2(z))],
)
