"""What a hypothesis says of one task: the meta-update, from gradients and Hessians alone, in any format."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, steps_kept
from metaspec_conformance.audit.hypotheses.objective import Objective, Vector
from metaspec_conformance.oracles import dense_oracle


@dataclass
class Path:
    """The points of an inner loop, the gradients that it took there, and the optimiser's states."""

    points: list[Vector]
    gradients: list[Vector] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    earlier: int = 0  # steps that the optimiser has taken before


@dataclass
class Predictor:
    """Meta-updates on one objective from one phi; paths are kept.

    Attributes:
        objective: The objective.
        phi: The meta-parameters.
    """

    objective: Objective
    phi: Vector
    _paths: dict[Any, Path] = field(default_factory=dict)

    def update(self, h: Hypothesis, task: int) -> Vector:
        """Delta of one task, started from phi."""
        return self.result(h, task, self.path(h, task), self.phi)

    def path(self, h: Hypothesis, task: int) -> Path:
        """The inner loop's points from phi, as many as h has steps or more."""
        key = (task, h.path)
        if key not in self._paths:
            self._paths[key] = Path([self.phi], [], [h.rule.begin(self.phi)])
        return self.walked(h, task, self._paths[key], self.phi)

    def walked(self, h: Hypothesis, task: int, path: Path, phi: Vector) -> Path:
        """The path lengthened to h's steps."""
        rates = self._rates(h, task)
        while len(path.points) <= h.steps:
            theta = path.points[-1]
            g = self._inner_gradient(h, task, theta, phi)
            u, state = h.rule.advance(path.earlier + len(path.points), g, path.states[-1])
            path.gradients.append(g)
            path.states.append(state)
            path.points.append(self.objective.rounding(theta - rates * self._swapped(u, h)))
        return path

    def result(self, h: Hypothesis, task: int, path: Path, phi: Vector) -> Vector:
        """Delta, from the path."""
        if h.algorithm == "reptile":
            return self._out(h, phi - path.points[h.steps])
        if h.algorithm == "imaml":
            return self._out(h, self._implicit(h, task, path))
        return self._out(h, self._chained(h, task, path))

    def _chained(self, h: Hypothesis, task: int, path: Path) -> Vector:
        K, rates = h.steps, self._rates(h, task)
        strength = h.strength if h.proximal else 0.0
        v = self.objective.gradient(task, h.outer_data, path.points[_place(h.point, K)])
        kept = steps_kept(h.mask, K)
        through, at_phi = h.algorithm == "maml", np.zeros_like(v)
        carried = h.rule.begin(v)
        for k in reversed(range(K)):
            if through:
                du = -self._swapped(rates * v, h)
                dg, carried = h.rule.pull(path.earlier + k + 1, path.gradients[k], path.states[k], du, carried)
                if kept[k]:
                    at = {"along": k, "start": 0, "end": K, "next": k + 1}[h.hessian_point]
                    product = self.objective.product(task, h.hessian_data, path.points[at], dg)
                    v = self.objective.rounding(v + h.hessian_factor * product + (h.decay + strength) * dg)
                    at_phi = at_phi - strength * dg
            if h.every and (k > 0 or h.every == "from 0"):
                v = v + self.objective.gradient(task, h.outer_data, path.points[k])
        return v + at_phi

    def _implicit(self, h: Hypothesis, task: int, path: Path) -> Vector:
        theta = path.points[h.steps]
        g = self.objective.gradient(task, h.outer_data, path.points[_place(h.point, h.steps)])
        at = path.points[0] if h.hessian_point == "start" else theta
        H = self.objective.hessian(task, h.hessian_data, at)
        if h.blocks != "full":
            H = H * self._blocks(h.blocks)
        a, b = h.operator
        scaled = b / h.strength * H
        if h.solver == "neumann":
            return _neumann(self.objective, a, scaled, g, h.solver_steps)
        A = a * np.eye(len(g), dtype=g.dtype) + scaled
        if h.solver == "conjugate gradients":
            return _conjugate_gradients(self.objective, A, g, h.solver_steps)
        return dense_oracle.solve(A, g) if g.dtype == np.longdouble else np.linalg.solve(A, g)

    def _inner_gradient(self, h: Hypothesis, task: int, theta: Vector, phi: Vector) -> Vector:
        g = self.objective.gradient(task, h.inner_data, theta)
        if h.decay:
            g = g + h.decay * theta
        return g + h.strength * (theta - phi) if h.proximal else g

    def _rates(self, h: Hypothesis, task: int) -> Vector:
        rate = h.rate * (self.objective.examples(task, h.inner_data) if h.inner_sum else 1)
        rates = np.full(self.phi.shape, rate, self.phi.dtype)
        for leaf in h.frozen:
            rates[self.objective.slices[leaf]] = 0
        return rates

    def _swapped(self, u: Vector, h: Hypothesis) -> Vector:
        return u if h.inner_swap is None else swapped(u, self.objective, (h.inner_swap,))

    def _out(self, h: Hypothesis, v: Vector) -> Vector:
        if h.swaps:
            v = swapped(v, self.objective, h.swaps)
        for leaf in h.transposed:
            v, place = v.copy(), self.objective.slices[leaf]
            v[place] = np.reshape(v[place], self.objective.shapes[leaf]).T.reshape(-1)
        return v

    def _blocks(self, kind: str) -> Any:
        keep = np.eye(self.objective.size, dtype=self.phi.dtype)
        for place in self.objective.slices if kind == "leaf" else ():
            keep[place, place] = 1
        return keep


def swapped(v: Vector, objective: Objective, pairs: tuple[tuple[int, int], ...]) -> Vector:
    """The vector with the leaves of each pair exchanged."""
    v = v.copy()
    for i, j in pairs:
        a, b = objective.slices[i], objective.slices[j]
        v[a], v[b] = v[b].copy(), v[a].copy()
    return v


def _place(point: str, steps: int) -> int:
    return {"end": steps, "before": max(0, steps - 1), "start": 0}[point]


def _neumann(objective: Objective, a: float, scaled: Any, g: Vector, terms: int) -> Vector:
    """Sum over j < terms of (I - (a I + b H / lambda))^j g."""
    total = power = g
    for _ in range(terms - 1):
        power = objective.rounding((1 - a) * power - scaled @ power)
        total = total + power
    return total


def _conjugate_gradients(objective: Objective, A: Any, b: Vector, steps: int) -> Vector:
    """The iterate after that many steps from zero; fewer where the system is solved to the last bit."""
    x, r, p = np.zeros_like(b), b, b
    rr = np.sum(r * r)
    for _ in range(steps):
        if rr == 0:
            break
        Ap = objective.rounding(A @ p)
        length = rr / np.sum(p * Ap)
        x = objective.rounding(x + length * p)
        r = r - length * Ap
        before, rr = rr, np.sum(r * r)
        p = r + rr / before * p
    return x
