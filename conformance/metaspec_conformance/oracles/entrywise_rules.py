"""Inner rules for one entry, in any arithmetic: numbers of mpmath, jets, arrays. SPEC.md (MS-RULE) has the formulas.

A rule is (x, s, g, k, h, sqrt) -> (x, s): the entry, its state (a tuple, zeros before the first step), its gradient,
the step's number, the rule's inputs by name.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Number = Any
Hyper = Mapping[str, Number]
Move = Callable[[Number, tuple[Number, ...], Number, int, Hyper, Callable[[Number], Number]], tuple[Number, Any]]


class EntryRule(NamedTuple):
    """A rule: how many numbers of state an entry has, and its step."""

    state: int
    move: Move


def _descent(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    return x - h["lr"] * g, ()


def _momentum(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    m = h["momentum"] * s[0] + g
    return x - h["lr"] * m, (m,)


def _nesterov(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    m = h["momentum"] * s[0] + g
    return x - h["lr"] * (g + h["momentum"] * m), (m,)


def _adam(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    b1, b2 = h["b1"], h["b2"]
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * (g * g)
    mean, square = m / (1 - b1 ** (k + 1)), v / (1 - b2 ** (k + 1))
    return x - h["lr"] * (mean / (sqrt(square) + h["eps"]) + h["decay"] * x), (m, v)


def _rmsprop(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    v = h["rho"] * s[0] + (1 - h["rho"]) * (g * g)
    return x - h["lr"] * g / (sqrt(v) + h["eps"]), (v,)


def _adagrad(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    v = s[0] + g * g
    return x - h["lr"] * g / (sqrt(v) + h["eps"]), (v,)


def _adadelta(x: Number, s: Any, g: Number, k: int, h: Hyper, sqrt: Any) -> tuple[Number, Any]:
    rho, eps = h["rho"], h["eps"]
    v = rho * s[0] + (1 - rho) * (g * g)
    d = g * sqrt(s[1] + eps) / sqrt(v + eps)
    return x - h["lr"] * d, (v, rho * s[1] + (1 - rho) * (d * d))


RULES: Mapping[str, EntryRule] = MappingProxyType(
    {
        "GradientDescent": EntryRule(0, _descent),
        "Momentum": EntryRule(1, _momentum),
        "Nesterov": EntryRule(1, _nesterov),
        "Adam": EntryRule(2, _adam),
        "RMSProp": EntryRule(1, _rmsprop),
        "AdaGrad": EntryRule(1, _adagrad),
        "Adadelta": EntryRule(2, _adadelta),
    }
)
