"""Inner update rules: theta <- theta - rate * u(gradient, state), and how a cotangent is pulled back through u.

Each works on flat vectors of any format. `advance` gives (u, state); `pull` gives the cotangents of the gradient and of
the state before the step, from those of u and of the state after it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Vector = Any
State = tuple[Any, ...]
Kind = Literal["gradient descent", "momentum", "nesterov", "adam", "normalised", "clipped", "clipped entries", "sign"]


@dataclass(frozen=True)
class Rule:
    """A rule and its constants.

    Attributes:
        kind: `momentum` (m <- c m + g, u = m), `nesterov` (u = g + c m), `adam`, `normalised` (g / ||g||), `clipped`
            (to the norm c), `clipped entries` (to [-c, c]), `sign`.
        constants: (c,); of `clipped` (c, e), the factor being c / (||g|| + e); of `adam` (beta1, beta2, epsilon, form),
            form 0: epsilon added to the corrected root, 1: to the root as it is.
    """

    kind: Kind = "gradient descent"
    constants: tuple[float, ...] = ()

    def begin(self, like: Vector) -> State:
        """The state before the first step."""
        zeros = np.zeros_like(like)
        return {"momentum": (zeros,), "nesterov": (zeros,), "adam": (zeros, zeros)}.get(self.kind, ())

    def advance(self, t: int, g: Vector, state: State) -> tuple[Vector, State]:
        """U and the state after step t (from 1)."""
        c = self.constants
        if self.kind in ("momentum", "nesterov"):
            m = c[0] * state[0] + g
            return (m if self.kind == "momentum" else g + c[0] * m), (m,)
        if self.kind == "adam":
            m, s = c[0] * state[0] + (1 - c[0]) * g, c[1] * state[1] + (1 - c[1]) * g * g
            return self._adam(t, m, s)[0], (m, s)
        if self.kind == "normalised":
            return g / _norm(g), ()
        if self.kind == "clipped":
            return self._clip(g)[0] * g, ()
        if self.kind == "clipped entries":
            return np.clip(g, -c[0], c[0]), ()
        return (np.sign(g), ()) if self.kind == "sign" else (g, ())

    def pull(self, t: int, g: Vector, before: State, du: Vector, after: State) -> tuple[Vector, State]:
        """Cotangents of g and of the state `before`; `after` holds those of the state after the step."""
        c = self.constants
        if self.kind == "momentum":
            dm = du + after[0]
            return dm, (c[0] * dm,)
        if self.kind == "nesterov":
            dm = c[0] * du + after[0]
            return du + dm, (c[0] * dm,)
        if self.kind == "adam":
            m, s = c[0] * before[0] + (1 - c[0]) * g, c[1] * before[1] + (1 - c[1]) * g * g
            _, per_m, per_s = self._adam(t, m, s)
            dm, ds = after[0] + du * per_m, after[1] + du * per_s
            return (1 - c[0]) * dm + 2 * (1 - c[1]) * g * ds, (c[0] * dm, c[1] * ds)
        if self.kind == "normalised":
            n = _norm(g)
            return (du - g * (np.sum(g * du) / n**2)) / n, ()
        if self.kind == "clipped":
            factor, slope = self._clip(g)
            return factor * du + slope * g * np.sum(g * du), ()
        if self.kind == "clipped entries":
            return np.where(np.abs(g) < c[0], du, 0 * du), ()
        return (0 * du, ()) if self.kind == "sign" else (du, ())

    def _adam(self, t: int, m: Vector, s: Vector) -> tuple[Vector, Vector, Vector]:
        """U with its derivatives by m and by s."""
        beta1, beta2, epsilon, form = self.constants
        one, two = 1 - beta1**t, 1 - beta2**t
        root = np.sqrt(s / two) if form == 0 else np.sqrt(s)
        scale = 1 / one if form == 0 else np.sqrt(two) / one
        below = root + epsilon
        safe = np.where(root > 0, root, np.ones_like(root))
        inner = (1 / two if form == 0 else 1) / (2 * safe)
        return scale * m / below, scale / below, np.where(root > 0, -scale * m / below**2 * inner, 0 * m)

    def _clip(self, g: Vector) -> tuple[Any, Any]:
        """The factor on g, and s with d factor = s <g, dg>."""
        size, (limit, extra) = _norm(g), self.constants
        if size + extra <= limit:
            return 1, 0
        return limit / (size + extra), -limit / ((size + extra) ** 2 * size)


PLAIN = Rule()


def _norm(g: Vector) -> Any:
    return np.sqrt(np.sum(g * g))
