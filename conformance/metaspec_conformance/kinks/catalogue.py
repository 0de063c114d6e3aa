"""The kinks: a function, a point where it has no derivative or where a formula for it breaks down, what is declared.

SPEC.md, MS-KINK-1: what the namespace's functions do there is the framework's own; the members of metaspec.nn that have
a kink have one convention on every backend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaspec import nn
from metaspec.backend.protocol import Backend

Function = Callable[[Backend, Any], Any]


@dataclass(frozen=True)
class Kink:
    """A function of a vector, summed, at a point.

    Attributes:
        name: E.g. "maximum(x, 0)".
        at: The point.
        f: (backend, vector) -> array.
        declared: First and second order where metaspec has a convention (second: the Hessian times ones); else None.
    """

    name: str
    at: tuple[float, ...]
    f: Function
    declared: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def _max_pool(B: Backend, x: Any) -> Any:
    return nn.max_pool2d(B.xp.reshape(x, (1, 2, 2, 1)))


KINKS = (
    Kink("nn.relu(x)", (0.0,), lambda B, x: nn.relu(x), ((0.0,), (0.0,))),
    Kink("nn.max_pool2d of equal entries", (1.0,) * 4, _max_pool, ((1.0, 0.0, 0.0, 0.0), (0.0,) * 4)),
    Kink("maximum(x, 0)", (0.0,), lambda B, x: B.xp.maximum(x, B.xp.zeros_like(x))),
    Kink("minimum(x, 0)", (0.0,), lambda B, x: B.xp.minimum(x, B.xp.zeros_like(x))),
    Kink("maximum(x, x)", (1.5,), lambda B, x: B.xp.maximum(x, x)),
    Kink("where(x > 0, x, 0)", (0.0,), lambda B, x: B.xp.where(x > 0, x, B.xp.zeros_like(x))),
    Kink("where(x >= 0, x, 0)", (0.0,), lambda B, x: B.xp.where(x >= 0, x, B.xp.zeros_like(x))),
    Kink("where(x > 0, sqrt(x), 0)", (0.0,), lambda B, x: B.xp.where(x > 0, B.xp.sqrt(x), B.xp.zeros_like(x))),
    Kink("clip(x, 0, 1), lower edge", (0.0,), lambda B, x: B.xp.clip(x, 0.0, 1.0)),
    Kink("clip(x, 0, 1), upper edge", (1.0,), lambda B, x: B.xp.clip(x, 0.0, 1.0)),
    Kink("abs(x)", (0.0,), lambda B, x: B.xp.abs(x)),
    Kink("sqrt(x)", (0.0,), lambda B, x: B.xp.sqrt(x)),
    Kink("sqrt(sum x^2)", (0.0, 0.0), lambda B, x: B.xp.sqrt(B.xp.sum(x * x))),
    Kink("linalg.vector_norm(x)", (0.0, 0.0), lambda B, x: B.xp.linalg.vector_norm(x)),
    Kink("x**0", (0.0,), lambda B, x: x**0),
    Kink("x**1", (0.0,), lambda B, x: x**1),
    Kink("x**2", (0.0,), lambda B, x: x**2),
    Kink("x**y, y an array of 0", (0.0,), lambda B, x: x ** B.xp.zeros_like(x)),
    Kink("x**y, y an array of 1", (0.0,), lambda B, x: x ** B.xp.ones_like(x)),
    Kink("x**y, y an array of 2", (0.0,), lambda B, x: x ** (2 * B.xp.ones_like(x))),
    Kink("0**y at y = 0", (0.0,), lambda B, y: B.xp.zeros_like(y) ** y),
    Kink("0**y at y = 1", (1.0,), lambda B, y: B.xp.zeros_like(y) ** y),
    Kink("max of equal entries", (1.0, 1.0), lambda B, x: B.xp.max(x)),
    Kink("min of equal entries", (1.0, 1.0), lambda B, x: B.xp.min(x)),
    Kink("sort of equal entries, the first", (1.0, 1.0), lambda B, x: B.xp.sort(x)[0]),
    Kink("floor(x)", (1.0,), lambda B, x: B.xp.floor(x)),
    Kink("sign(x)", (0.0,), lambda B, x: B.xp.sign(x)),
)
