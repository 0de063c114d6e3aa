"""The law of the functions of one number: how many digits they and their derivatives have, wherever they are asked.

Values and derivatives are held, number by number, against formulas in `numpy.longdouble`. As everywhere the error is in
units of roundoff times amplification: a wrong last digit of the argument, or within a derivative, is forgiven.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.members.required_members import member

Array = Any
Formula = Callable[[Array], Array]

# All have the same number of points, so that a framework compiles each operation for one shape. Those that saturate are
# asked where every sound formula has digits: near 0 some have tanh″ as a difference, and in the tail the derivative of
# logaddexp as the exponential of one.
EVERYWHERE = (-40.0, -9.0, -1.5, -0.25, -1e-4, 1e-4, 0.25, 0.75, 1.5, 9.0, 17.0, 40.0)
MODERATE = (-6.0, -4.0, -1.5, -0.25, -1e-2, 1e-4, 1e-2, 0.25, 0.75, 1.5, 4.0, 6.0)
POSITIVE = (1e-6, 1e-4, 1e-2, 0.25, 0.75, 0.99, 1.01, 1.5, 9.0, 40.0, 1e3, 1e6)
ABOVE_MINUS_ONE = (-0.999, -0.75, -0.25, -1e-4, 1e-4, 1e-2, 0.25, 0.75, 1.5, 9.0, 1e3, 1e6)
SATURATING = (-40.0, -9.0, -4.0, -1.5, -0.75, -0.25, 0.25, 0.5, 0.75, 1.5, 9.0, 40.0)
TURNING = (-1e4, -100.0, -9.0, -0.25, -1e-4, 1e-4, 0.25, 1.5, 3.0, 9.0, 1e3, 1e4)


@dataclass(frozen=True)
class Function:
    """f(xp, x), which is elementwise; f, f′ and f″ by NumPy; the points where it is asked."""

    f: Callable[[Any, Array], Array]
    formulas: tuple[Formula, Formula, Formula]
    points: tuple[float, ...]


LOG_3 = np.log(np.longdouble(3))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _constant(c: float) -> Formula:
    return lambda x: np.full_like(x, c)


FUNCTIONS: dict[str, Function] = {
    "abs": Function(lambda xp, x: xp.abs(x), (np.abs, np.sign, _constant(0)), EVERYWHERE),
    "asinh": Function(
        lambda xp, x: xp.asinh(x),
        (np.arcsinh, lambda x: 1 / np.sqrt(1 + x * x), lambda x: -x / np.sqrt(1 + x * x) ** 3),
        EVERYWHERE,
    ),
    "atan": Function(
        lambda xp, x: xp.atan(x),
        (np.arctan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
        EVERYWHERE,
    ),
    "clip": Function(
        lambda xp, x: xp.clip(x, -2.0, 2.0),
        (lambda x: np.clip(x, -2, 2), lambda x: np.where(np.abs(x) < 2, np.ones_like(x), 0 * x), _constant(0)),
        EVERYWHERE,
    ),
    "cos": Function(lambda xp, x: xp.cos(x), (np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)), TURNING),
    "cosh": Function(lambda xp, x: xp.cosh(x), (np.cosh, np.sinh, np.cosh), EVERYWHERE),
    "divide": Function(
        lambda xp, x: 1 / x, (lambda x: 1 / x, lambda x: -1 / (x * x), lambda x: 2 / (x * x * x)), EVERYWHERE
    ),
    "exp": Function(lambda xp, x: xp.exp(x), (np.exp, np.exp, np.exp), EVERYWHERE),
    "expm1": Function(lambda xp, x: xp.expm1(x), (np.expm1, np.exp, np.exp), EVERYWHERE),
    "log": Function(lambda xp, x: xp.log(x), (np.log, lambda x: 1 / x, lambda x: -1 / (x * x)), POSITIVE),
    "log1p": Function(
        lambda xp, x: xp.log1p(x), (np.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2), ABOVE_MINUS_ONE
    ),
    "logaddexp": Function(
        lambda xp, x: xp.logaddexp(x, xp.zeros_like(x)),
        (lambda x: np.logaddexp(x, 0), _sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
        SATURATING,
    ),
    "maximum": Function(
        lambda xp, x: xp.maximum(x, 0.5 * xp.ones_like(x)),
        (lambda x: np.maximum(x, 0.5), lambda x: (x > 0.5).astype(x.dtype), _constant(0)),
        EVERYWHERE,
    ),
    "minimum": Function(
        lambda xp, x: xp.minimum(x, 0.5 * xp.ones_like(x)),
        (lambda x: np.minimum(x, 0.5), lambda x: (x < 0.5).astype(x.dtype), _constant(0)),
        EVERYWHERE,
    ),
    "pow": Function(
        lambda xp, x: xp.pow(x, 2.5 * xp.ones_like(x)),
        (lambda x: x * x * np.sqrt(x), lambda x: 2.5 * x * np.sqrt(x), lambda x: 3.75 * np.sqrt(x)),
        POSITIVE,
    ),
    "pow of a base": Function(
        lambda xp, x: xp.pow(3 * xp.ones_like(x), x),
        (lambda x: np.exp(LOG_3 * x), lambda x: LOG_3 * np.exp(LOG_3 * x), lambda x: LOG_3**2 * np.exp(LOG_3 * x)),
        MODERATE,
    ),
    "sin": Function(lambda xp, x: xp.sin(x), (np.sin, np.cos, lambda x: -np.sin(x)), TURNING),
    "sinh": Function(lambda xp, x: xp.sinh(x), (np.sinh, np.cosh, np.sinh), EVERYWHERE),
    "sqrt": Function(
        lambda xp, x: xp.sqrt(x),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda x: -0.25 / (x * np.sqrt(x))),
        POSITIVE,
    ),
    "tanh": Function(
        lambda xp, x: xp.tanh(x),
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2, lambda x: -2 * np.tanh(x) / np.cosh(x) ** 2),
        SATURATING,
    ),
}
"""By the name in `xp`."""


@member(
    "f(x), f′(x) and f″(x) have the format's digits: each elementwise function of xp, near 0, in the tails, near poles",
    "MS-DTYPE-1",
    "MS-BACKEND-1",
    "MS-BACKEND-5",
)
def xp_functions(at: LawContext) -> Iterator[Claim]:
    B = at.B
    for name, function in FUNCTIONS.items():
        points = np.array(function.points, np.float32)
        x = at.array([points])[0]
        f = partial(function.f, B.xp)
        first = _derivative(B, f)
        derivatives: tuple[Formula, ...] = f, first, _derivative(B, first)
        for mark, derivative, formula in zip(("", "'", "''"), derivatives, function.formulas, strict=True):
            yield Equal(name + mark, _apart(B.to_numpy(derivative(x)), points), _exact(formula, points))


def _derivative(B: Backend, f: Formula) -> Formula:
    """f′ of an elementwise f: the gradient of the sum of its values."""

    def derivative(x: Array) -> Array:
        return B.value_and_grad(lambda x: B.xp.sum(f(x)))(x)[1]

    return derivative


def _exact(formula: Formula, points: Any) -> dict[str, Any]:
    return _apart(formula(points.astype(np.longdouble)), points)


def _apart(values: Any, points: Any) -> dict[str, Any]:
    """Number by number: a norm over all would see the largest alone."""
    return {f"{x:g}": np.asarray(value) for x, value in zip(points, values, strict=True)}
