"""The inner loop of a hypothesis: the points that it goes through, with which rates and on which examples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.objective import Objective, Vector


@dataclass
class Path:
    """The points of an inner loop, the gradients that it took there, and the optimiser's states."""

    points: list[Vector]
    gradients: list[Vector] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    pulls: dict[int, Any] = field(default_factory=dict)
    earlier: int = 0  # steps that the optimiser has taken before


@dataclass
class InnerLoops:
    """Inner loops on one objective from one phi; paths are kept.

    Attributes:
        objective: The objective.
        phi: The meta-parameters.
        given: Learned inputs that the code is given, as vectors: "rates", "step_rates" (an axis of steps), "sigma".
    """

    objective: Objective
    phi: Vector
    given: Mapping[str, Any] = field(default_factory=dict)
    _paths: dict[Any, Path] = field(default_factory=dict)

    def path(self, h: Hypothesis, task: int) -> Path:
        """The inner loop's points from phi, as many as h has steps or more."""
        key = (task, h.path)
        if key not in self._paths:
            start = self.started(h, self.phi)
            self._paths[key] = Path([start], [], [h.rule.begin(start)])
        return self.walked(h, task, self._paths[key])

    def started(self, h: Hypothesis, phi: Vector) -> Vector:
        """Where the inner loop starts."""
        if h.from_zero:
            return np.where(self._moving(h), 0 * phi, phi)
        return h.shrink * phi

    def walked(self, h: Hypothesis, task: int, path: Path) -> Path:
        """The path lengthened to h's steps."""
        while len(path.points) <= h.steps:
            k = len(path.gradients)
            theta, state = path.points[-1], path.states[-1]
            g = self._inner_gradient(h, task, k, theta, path.points[0])
            moved, after = h.rule.advance(path.earlier + k, theta, state, g, self._rates(h, task, k))
            if h.inner_swap is not None:
                moved = theta + swapped(moved - theta, self.objective, (h.inner_swap,))
            path.gradients.append(g)
            path.states.append(after)
            path.points.append(self.objective.rounding(moved))
        return path

    def _inner_gradient(self, h: Hypothesis, task: int, k: int, theta: Vector, start: Vector) -> Vector:
        g = self.objective.gradient(task, self._part(h, task, k), theta)
        if np.any(h.decay):
            g = g + h.decay * theta
        if h.proximal:
            g = g + self._strengths(h) * (theta - start)
        return g * self._moving(h) if h.frozen else g

    def _part(self, h: Hypothesis, task: int, k: int) -> str:
        """The examples of step k."""
        if not h.minibatch:
            return h.inner_data
        count = self.objective.examples(task, h.inner_data)
        size, rounds = min(h.minibatch, count), -(-count // h.minibatch)
        first, last = {
            "around": (k * size % count, k * size % count + size),
            "split": (k % rounds * size, min(k % rounds * size + size, count)),
            "first": (0, size),
        }[h.minibatch_form]
        return f"{h.inner_data} {first} {last}"

    def _rates(self, h: Hypothesis, task: int, k: int) -> Vector:
        count = self.objective.examples(task, h.inner_data) if h.inner_sum else 1
        if h.rate_per == "given":
            rates = self.given["rates"] if "rates" in self.given else _row(self.given["step_rates"], k)
            return np.where(self._moving(h), count * rates.astype(self.phi.dtype), 0)
        rates = h.rate * count * np.ones(self.phi.shape, self.phi.dtype)
        r = h.rate_ratios
        if h.rate_per == "leaf":
            rates = rates * self._spread(r)
        elif h.rate_per == "entry":
            rates = rates * np.hstack(r)
        elif h.rate_per:
            rates = (
                rates
                * {
                    "step": lambda: r[min(k, len(r) - 1)],
                    "geometric": lambda: r[0] ** k,
                    "harmonic": lambda: 1 / (1 + r[0] * k),
                    "linear": lambda: 1 - k / h.steps,
                }[h.rate_per]()
            )
        for leaf in h.frozen:
            rates[..., self.objective.slices[leaf]] = 0
        return rates

    def _strengths(self, h: Hypothesis) -> Vector:
        """Lambda, entry by entry."""
        if "sigma" in self.given:
            return (1 / self.given["sigma"] ** 2).astype(self.phi.dtype)
        plain = h.strength * np.ones(self.phi.shape, self.phi.dtype)
        return plain * self._spread(h.strengths) if h.strengths else plain

    def _spread(self, numbers: tuple[Any, ...]) -> Vector:
        """One number for each leaf, as a vector."""
        return np.repeat(np.hstack(numbers), [place.stop - place.start for place in self.objective.slices], axis=-1)

    def _moving(self, h: Hypothesis) -> Any:
        """Where the inner loop moves something."""
        if not h.frozen:
            return True
        moving = np.ones(self.phi.shape, bool)
        for leaf in h.frozen:
            moving[self.objective.slices[leaf]] = False
        return moving


def swapped(v: Vector, objective: Objective, pairs: tuple[tuple[int, int], ...]) -> Vector:
    """The vector with the leaves of each pair exchanged."""
    v = v.copy()
    for i, j in pairs:
        a, b = objective.slices[i], objective.slices[j]
        v[..., a], v[..., b] = v[..., b].copy(), v[..., a].copy()
    return v


def _row(table: Any, k: int) -> Any:
    return table[min(k, len(table) - 1)]
