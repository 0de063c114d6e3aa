"""SciPy's special functions, which call NumPy's hook for elementwise ones; SciPy is imported when one is called."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Primitive
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.elementwise_rules import define, exp, square
from metaspec_numpy.tracer.rules.structure import astype

INTEGERS = tuple(map(numpy.dtype, "?bhilqBHILQ"))


def _of_scipy(name: str) -> Callable[..., Array]:
    return lambda xp, *args: getattr(importlib.import_module("scipy.special"), name)(*args)


def _polygamma(xp: Any, x: Array, *, n: int) -> Array:
    special = importlib.import_module("scipy.special")
    return special.psi(x) if n == 0 else xp.asarray(special.polygamma(n, x), dtype=x.dtype)


erf: Primitive = define("erf", [lambda g, z, x: g * (exp(-square(x)) * (2 / math.sqrt(math.pi)))], _of_scipy("erf"))
erfc: Primitive = define("erfc", [lambda g, z, x: g * (exp(-square(x)) * (-2 / math.sqrt(math.pi)))], _of_scipy("erfc"))
erfcx: Primitive = define("erfcx", [lambda g, z, x: g * (2.0 * x * z - 2 / math.sqrt(math.pi))], _of_scipy("erfcx"))
polygamma: Primitive = define("polygamma", [lambda g, z, x, *, n: g * polygamma(x, n=n + 1)], _polygamma)
gammaln: Primitive = define("gammaln", [lambda g, z, x: g * polygamma(x, n=0)], _of_scipy("gammaln"))
gamma: Primitive = define("gamma", [lambda g, z, x: g * (z * polygamma(x, n=0))], _of_scipy("gamma"))
loggamma: Primitive = define("loggamma", [lambda g, z, x: g * polygamma(x, n=0)], _of_scipy("loggamma"))
beta: Primitive = define(
    "beta",
    [
        lambda g, z, a, b: g * (z * (polygamma(a, n=0) - polygamma(a + b, n=0))),
        lambda g, z, a, b: g * (z * (polygamma(b, n=0) - polygamma(a + b, n=0))),
    ],
    _of_scipy("beta"),
)
betaln: Primitive = define(
    "betaln",
    [
        lambda g, z, a, b: g * (polygamma(a, n=0) - polygamma(a + b, n=0)),
        lambda g, z, a, b: g * (polygamma(b, n=0) - polygamma(a + b, n=0)),
    ],
    _of_scipy("betaln"),
)
log_ndtr: Primitive = define(
    "log_ndtr",
    [lambda g, z, x: g * (exp(-0.5 * square(x) - z) / math.sqrt(2 * math.pi))],
    _of_scipy("log_ndtr"),
)
ndtr: Primitive = define(
    "ndtr", [lambda g, z, x: g * (exp(-0.5 * square(x)) / math.sqrt(2 * math.pi))], _of_scipy("ndtr")
)
expit: Primitive = define("expit", [lambda g, z, x: g * (z * (1.0 - z))], _of_scipy("expit"))
logit: Primitive = define("logit", [lambda g, z, x: g / (x * (1.0 - x))], _of_scipy("logit"))


def xlogy(x: Array, y: Array) -> Array:
    """X log(y), and 0 where x is 0, unless y is NaN."""
    zero = rules.logical_and(rules.equal(x, 0), rules.logical_not(rules.isnan(y)))
    return rules.where(zero, 0.0, x * rules.log(rules.where(zero, 1.0, y)))


def xlog1py(x: Array, y: Array) -> Array:
    zero = rules.logical_and(rules.equal(x, 0), rules.logical_not(rules.isnan(y)))
    return rules.where(zero, 0.0, x * rules.log1p(rules.where(zero, 0.0, y)))


def entr(x: Array) -> Array:
    return rules.where(rules.less(x, 0), -math.inf, -xlogy(rules.where(rules.less(x, 0), 1.0, x), x))


def rel_entr(x: Array, y: Array) -> Array:
    inside = rules.logical_and(rules.greater(x, 0), rules.greater(y, 0))
    ratio = rules.where(inside, x, 1.0) / rules.where(inside, y, 1.0)
    edge = rules.logical_and(rules.equal(x, 0), rules.greater_equal(y, 0))
    return rules.where(inside, x * rules.log(ratio), rules.where(edge, 0.0, math.inf))


def _softplus(x: Array) -> Array:
    return rules.logaddexp(x, 0.0)


def _of_floats(f: Callable[..., Any]) -> Callable[..., Any]:
    """SciPy computes integers in floating numbers from the start."""

    def apply(*args: Any) -> Any:
        return f(*(astype(x, numpy.dtype(float)) if getattr(x, "dtype", float) in INTEGERS else x for x in args))

    return apply


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "erf": erf,
    "erfc": erfc,
    "erfcx": erfcx,
    "gammaln": gammaln,
    "loggamma": loggamma,
    "gamma": gamma,
    "psi": lambda x: polygamma(x, n=0),
    "digamma": lambda x: polygamma(x, n=0),
    "betaln": betaln,
    "beta": beta,
    "ndtr": ndtr,
    "log_ndtr": log_ndtr,
    "expit": expit,
    "log_expit": lambda x: -_softplus(-x),
    "logit": logit,
    "xlogy": xlogy,
    "xlog1py": xlog1py,
    "entr": entr,
    "rel_entr": rel_entr,
    "kl_div": lambda x, y: rel_entr(x, y) - x + y,
    "exp10": lambda x: exp(x * math.log(10.0)),
}
UFUNCS = {name: _of_floats(f) for name, f in _FUNCTIONS.items()}
