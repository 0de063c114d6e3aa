"""NumPy's functions that choose between values, test them, and interpolate."""

import math
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, InvalidTypeError, UnsupportedError
from metaspec_numpy.tracer.complex_values import conjugate, is_complex
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import elementwise_functions as elementwise
from metaspec_numpy.tracer.functions import indexing_functions as indexing
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions import shaping, writing
from metaspec_numpy.tracer.numpy_api.ordering import searchsorted
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.statistics import inexact
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.structure import astype


@rule(numpy.where, array=True)
def where(condition: Any, x: Any = None, y: Any = None) -> Array:
    if x is None or y is None:
        raise UnsupportedError("np.where(condition) alone gives a result of unknown shape; give both branches")
    return rules.where(array(condition), *(v if isinstance(v, bool | int | float) else array(v) for v in (x, y)))


@rule(numpy.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Array:
    low, high = (given if given is not None else other for given, other in ((a_min, min), (a_max, max)))
    return elementwise.clip(array(a), low, high)


@rule(numpy.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    if len(condlist) != len(choicelist):
        raise InvalidArgumentError(f"{len(condlist)} conditions but {len(choicelist)} choices")
    out = array(default)
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        out = rules.where(array(condition), array(choice), out)
    return out


@rule(numpy.choose)
def choose(a: Any, choices: Any, mode: str = "raise") -> Array:
    a, parts = array(a), [array(c) for c in choices]
    n = len(parts)
    if mode == "wrap":
        a = rules.remainder(a, n)
    elif mode == "clip":
        a = rules.minimum(rules.maximum(a, 0), n - 1)
    elif not isinstance(a, Box) and a.size and not (int(a.min()) >= 0 and int(a.max()) < n):
        raise InvalidArgumentError(f"entries must be from 0 to {n - 1}")
    out = parts[0]
    for i, part in enumerate(parts[1:], start=1):
        out = rules.where(rules.equal(a, i), part, out)
    return shaping.broadcast_to(out, shaping.broadcast_shapes(a.shape, *(p.shape for p in parts)))


@rule(numpy.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Array:
    x = array(x)
    conditions = list(condlist) if isinstance(condlist, list | tuple) else [condlist]
    conditions = [array(c) for c in conditions]
    if len(funclist) == len(conditions) + 1:
        none = rules.logical_not(conditions[0])
        for c in conditions[1:]:
            none = rules.logical_and(none, rules.logical_not(c))
        conditions.append(none)
    out: Any = x * 0 if not shaping.is_inexact(x) else rules.where(numpy.asarray(False), x, 0.0)
    for condition, f in zip(conditions, funclist, strict=True):
        if not callable(f):
            out = rules.where(condition, astype(array(f), x.dtype), out)
            continue
        flat = shaping.reshape(x, -1)  # where the function is not meant to be evaluated, it gets a value where it is
        first = indexing.take(flat, reductions.argmax(shaping.reshape(condition, -1)))
        out = rules.where(condition, f(rules.where(condition, x, first), *args, **kw), out)
    return astype(out, x.dtype)


@rule(numpy.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Array:
    if period is not None:
        raise UnsupportedError("interp: period= has no rule; use np.remainder on x, and repeat the ends of xp and fp")
    x, xp, fp = (inexact(array(part)) for part in (x, xp, fp))
    n = xp.shape[0]
    if n == 1:
        inside = shaping.broadcast_to(fp[0], x.shape)
    else:
        i = rules.minimum(rules.maximum(searchsorted(xp, x, "right") - 1, 0), n - 2)
        slopes = reductions.diff(fp) / reductions.diff(xp)
        inside = indexing.take(slopes, i) * (x - indexing.take(xp, i)) + indexing.take(fp, i)
        inside = rules.where(rules.equal(x, xp[n - 1]), fp[n - 1], inside)
    inside = rules.where(rules.less(x, xp[0]), fp[0] if left is None else left, inside)
    return rules.where(rules.greater(x, xp[n - 1]), fp[n - 1] if right is None else right, inside)


@rule(numpy.nan_to_num, view=True)
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    given = x = array(x)
    info = numpy.finfo(x.dtype)
    out = rules.where(rules.isnan(x), nan, x)
    out = rules.where(rules.equal(x, math.inf), info.max if posinf is None else posinf, out)
    out = rules.where(rules.equal(x, -math.inf), info.min if neginf is None else neginf, out)
    return out if copy else writing.assign(given, out)


@rule(numpy.round, numpy.around)
def round_to(a: Any, decimals: int = 0) -> Array:
    a = array(a)
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        return rules.round_(a)
    return rules.round_(a * scale) / scale if decimals > 0 else rules.round_(a / scale) * scale


@rule(numpy.sinc)
def sinc(x: Any) -> Array:
    """Sin(pi x) / (pi x); by its series near 0, where derivatives of the quotient lose their digits."""
    y = array(x) * math.pi
    near = rules.less(rules.absolute(y), 0.1)
    far = rules.where(near, 1.0, y)
    s = rules.square(rules.where(near, y, 0.0))
    series = 1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110))))
    return rules.where(near, series, rules.sin(far) / far)


@rule(numpy.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    a, b = array(a), array(b)
    near = rules.less_equal(rules.absolute(a - b), atol + rtol * rules.absolute(b))
    near = rules.logical_or(rules.logical_and(near, rules.isfinite(b)), rules.equal(a, b))
    return rules.logical_or(near, rules.logical_and(rules.isnan(a), rules.isnan(b))) if equal_nan else near


rule(numpy.allclose)(
    lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: reductions.all(isclose(a, b, rtol, atol, equal_nan))
)


@rule(numpy.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    a1, a2 = array(a1), array(a2)
    if a1.shape != a2.shape:
        return False
    same = rules.equal(a1, a2)
    return reductions.all(
        rules.logical_or(same, rules.logical_and(rules.isnan(a1), rules.isnan(a2))) if equal_nan else same
    )


rule(numpy.fix)(lambda x: rules.trunc(array(x)))
rule(numpy.real, view=True)(lambda val: conjugate(array(val)))
rule(numpy.imag)(lambda val: rules.where(numpy.asarray(False), conjugate(array(val)), 0.0))
rule(numpy.angle)(
    lambda z, deg=False: rules.where(
        rules.less(conjugate(array(z)), 0), 180.0 if deg else math.pi, rules.where(rules.isnan(array(z)), array(z), 0.0)
    )
)
rule(numpy.real_if_close, view=True)(lambda a: conjugate(array(a)))
rule(numpy.iscomplexobj)(is_complex)
rule(numpy.isrealobj)(lambda x: not is_complex(x))
rule(numpy.iscomplex)(lambda x: numpy.zeros(conjugate(x).shape, bool))
rule(numpy.isreal)(lambda x: numpy.ones(conjugate(x).shape, bool))
rule(numpy.isposinf)(lambda x: rules.equal(array(x), math.inf))
rule(numpy.isneginf)(lambda x: rules.equal(array(x), -math.inf))
rule(numpy.result_type)(lambda *xs: numpy.result_type(*[x.dtype if isinstance(x, Box) else x for x in xs]))
rule(numpy.can_cast)(lambda from_, to, casting="safe": numpy.can_cast(from_.dtype, to, casting))
rule(numpy.common_type)(lambda *xs: numpy.common_type(*[numpy.empty(0, x.dtype) for x in xs]))


@rule(numpy.isin)
def isin(element: Any, test_elements: Any, invert: bool = False) -> Array:
    found = rules.equal(shaping.expand_dims(array(element), axis=-1), shaping.reshape(array(test_elements), -1))
    inside = reductions.any(found, axis=-1)
    return rules.logical_not(inside) if invert else inside


@rule(numpy.ix_)
def ix(*args: Any) -> Any:
    n = len(args)
    if any(array(x).dtype.kind == "b" for x in args):
        raise InvalidTypeError("ix_ of traced masks gives a result of unknown shape; use np.where")
    return tuple(shaping.reshape(array(x), tuple(-1 if i == k else 1 for i in range(n))) for k, x in enumerate(args))
