"""What a derivative is held against: differences in extended precision, and the identity <g, J t> = <J^T g, t>."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def as_tuple(out: Any) -> tuple[Any, ...]:
    return tuple(out) if isinstance(out, tuple | list) else (out,)


def dot(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    return sum(np.sum(np.asarray(x) * np.asarray(y)) for x, y in zip(xs, ys, strict=True))


def close(x: Any, y: Any, tol: float) -> None:
    """Equal up to `tol` in the largest element, relative where that is above one; and of one shape."""
    x, y = np.asarray(x), np.asarray(y)
    assert x.shape == y.shape
    x, y = (z.astype(float) if z.dtype == bool else z for z in (x, y))
    assert np.all(np.isfinite(x) == np.isfinite(y))
    scale = max(1.0, float(np.max(np.abs(y), initial=0.0)))
    error = float(np.max(np.abs(x - y), initial=0.0))
    assert error <= tol * scale, f"error {error:.2e} at scale {scale:.2e}, allowed {tol:.0e}\n{x}\n{y}"


def difference(f: Callable[..., Any], xs: Sequence[Any], ts: Sequence[Any], step: float = 1e-3) -> tuple[Any, ...]:
    """The derivative of f at xs along ts by central differences, extrapolated three times."""

    def central(h: Any) -> list[Any]:
        up = as_tuple(f(*[x + h * t for x, t in zip(xs, ts, strict=True)]))
        down = as_tuple(f(*[x - h * t for x, t in zip(xs, ts, strict=True)]))
        return [(np.asarray(u) - np.asarray(d)) / (2 * h) for u, d in zip(up, down, strict=True)]

    kind = xs[0].dtype.type
    h = kind(step)
    table = [central(h / 2**i) for i in range(4)]
    for order in range(1, 4):
        weight = kind(4**order)
        table = [
            [(weight * fine - coarse) / (weight - 1) for fine, coarse in zip(b, a, strict=True)]
            for a, b in itertools.pairwise(table)
        ]
    return tuple(table[0])


def names(program: Any) -> list[str]:
    """The operations of a recorded program, in order."""
    return [step.primitive.name for step in program.instructions]
