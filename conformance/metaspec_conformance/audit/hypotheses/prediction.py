"""What a hypothesis says of one task: the meta-update, from gradients and Hessians alone, in any format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, loss_weights, steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import as_plain
from metaspec_conformance.audit.hypotheses.objective import Objective, Vector
from metaspec_conformance.audit.hypotheses.system_solvers import solved


@dataclass
class Path:
    """The points of an inner loop, the gradients that it took there, and the optimiser's states."""

    points: list[Vector]
    gradients: list[Vector] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    pulls: dict[int, Any] = field(default_factory=dict)
    earlier: int = 0  # steps that the optimiser has taken before


@dataclass
class Predictor:
    """Meta-updates on one objective from one phi; paths are kept.

    Attributes:
        objective: The objective.
        phi: The meta-parameters.
        given: Learned inputs that the code is given, as vectors: "rates", "step_rates" (an axis of steps), "sigma".
    """

    objective: Objective
    phi: Vector
    given: Mapping[str, Any] = field(default_factory=dict)
    _paths: dict[Any, Path] = field(default_factory=dict)

    def update(self, h: Hypothesis, task: int) -> Vector:
        """Delta of one task, started from phi."""
        return self.result(h, task, self.path(h, task), self.phi)

    def learned(self, h: Hypothesis, task: int) -> dict[str, Vector]:
        """The query loss's gradient with respect to each learned input that is given."""
        found: dict[str, Vector] = {}
        path = self.path(h, task)
        implicit = h.algorithm in ("imaml", "reptile")  # sigma-Reptile learns sigma by the implicit gradient too
        (self._implicit if implicit else self._chained)(h, task, path, self.phi, found)
        return {name: found.get(name, np.zeros_like(value)) for name, value in self.given.items()}

    def path(self, h: Hypothesis, task: int) -> Path:
        """The inner loop's points from phi, as many as h has steps or more."""
        key = (task, h.path)
        if key not in self._paths:
            start = self.started(h, self.phi)
            self._paths[key] = Path([start], [], [h.rule.begin(start)])
        return self.walked(h, task, self._paths[key], self.phi)

    def started(self, h: Hypothesis, phi: Vector) -> Vector:
        """Where the inner loop starts."""
        if h.from_zero:
            return np.where(self._moving(h), 0 * phi, phi)
        return h.shrink * phi if h.shrink != 1 else phi

    def walked(self, h: Hypothesis, task: int, path: Path, phi: Vector) -> Path:
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

    def result(self, h: Hypothesis, task: int, path: Path, phi: Vector) -> Vector:
        """Delta, from the path."""
        if h.algorithm == "reptile":
            moved = phi - path.points[h.steps]
            if h.proximal and (h.strengths or "sigma" in self.given):
                moved = moved * self._strengths(h) / (h.strength if h.strengths else 1)
            return self._out(h, moved)
        compute = self._implicit if h.algorithm == "imaml" else self._chained
        return self._out(h, compute(h, task, path, phi, {}))

    def _chained(self, h: Hypothesis, task: int, path: Path, phi: Vector, learned: dict[str, Any]) -> Vector:
        K, objective = h.steps, self.objective
        strengths = self._strengths(h) if h.proximal else 0.0
        weights, kept, moving = loss_weights(h), steps_kept(h.mask, h.steps), self._moving(h)
        v = weights[K] * objective.gradient(task, h.outer_data, path.points[_place(h.point, K)])
        at_phi, carried = np.zeros_like(v), as_plain(path.states[K])
        through = h.algorithm == "maml"
        for k in reversed(range(K)):
            if through:
                before = v
                v, carried, dg, drates = self._pulled(h, task, path, k, v, carried)
                dg = dg * moving
                self._learn(h, learned, path, k, before, dg, drates * moving)
                if kept[k]:
                    at = {"along": k, "start": 0, "end": K, "next": k + 1}[h.hessian_point]
                    product = self._product(h, task, k, path.points[at], dg)
                    v = objective.rounding(v + h.hessian_factor * product + (h.decay + strengths) * dg)
                    at_phi = at_phi - strengths * dg
            if weights[k]:
                v = v + weights[k] * objective.gradient(task, h.outer_data, path.points[k])
        total = v + at_phi
        return np.where(moving, 0 * total, total) if h.from_zero else h.shrink * total if h.shrink != 1 else total

    def _pulled(self, h: Hypothesis, task: int, path: Path, k: int, v: Vector, carried: Any) -> tuple[Any, ...]:
        """Cotangents of the point, the state, the gradient and the rates of step k, from those after it."""
        if k not in path.pulls:
            rates = self._rates(h, task, k)
            path.pulls[k] = h.rule.linearize(path.earlier + k, path.points[k], path.states[k], path.gradients[k], rates)
        if h.inner_swap is None:
            at, state, dg, drates = path.pulls[k](v, carried)
            return at, state, dg, drates
        other = swapped(v, self.objective, (h.inner_swap,))
        at, state, dg, drates = path.pulls[k](other, carried)
        return at + v - other, state, dg, drates

    def _learn(
        self, h: Hypothesis, learned: dict[str, Any], path: Path, k: int, v: Vector, dg: Vector, drates: Vector
    ) -> None:
        """Add step k's share of the learned inputs' gradients."""
        if "rates" in self.given:
            learned["rates"] = learned.get("rates", 0) + drates
        if "step_rates" in self.given:
            table = learned.setdefault("step_rates", np.zeros_like(self.given["step_rates"]))
            table[min(k, len(table) - 1)] += drates
        if "sigma" in self.given and h.proximal:
            share = -2 * dg * (path.points[k] - path.points[0]) / self.given["sigma"] ** 3
            learned["sigma"] = learned.get("sigma", 0) + share

    def _implicit(self, h: Hypothesis, task: int, path: Path, phi: Vector, learned: dict[str, Any]) -> Vector:
        theta = path.points[h.steps]
        g = self.objective.gradient(task, h.outer_data, path.points[_place(h.point, h.steps)])
        at = path.points[0] if h.hessian_point == "start" else theta
        H = self.objective.hessian(task, h.hessian_data, at)
        if h.blocks != "full":
            H = H * self._blocks(h.blocks)
        root, (a, b) = np.sqrt(self._strengths(h)), h.operator
        A = a * np.eye(len(g), dtype=g.dtype) + b * H / np.multiply.outer(root, root)
        x = solved(h, A, g / root, self.objective.rounding)
        if "sigma" in self.given:
            learned["sigma"] = 2 * (theta - phi) * (x / root) / self.given["sigma"] ** 3
        return root * x

    def _inner_gradient(self, h: Hypothesis, task: int, k: int, theta: Vector, start: Vector) -> Vector:
        g = self.objective.gradient(task, self._part(h, task, k), theta)
        if h.decay:
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

    def _product(self, h: Hypothesis, task: int, k: int, theta: Vector, v: Vector) -> Vector:
        """The Hessian times v, or the difference quotient in its place."""
        part = self._part(h, task, k) if h.hessian_data == h.inner_data else h.hessian_data
        if not h.difference:
            return self.objective.product(task, part, theta, v)
        form, _, relative = h.difference_form.partition(" / ")
        step = h.difference / (np.sqrt(np.sum(v * v)) if relative else 1)
        ahead = self.objective.gradient(task, part, theta + step * v)
        behind = self.objective.gradient(task, part, theta - step * v if form == "central" else theta)
        return (ahead - behind) / (step * (2 if form == "central" else 1))

    def _rates(self, h: Hypothesis, task: int, k: int) -> Vector:
        count = self.objective.examples(task, h.inner_data) if h.inner_sum else 1
        if h.rate_per == "given":
            rates = self.given["rates"] if "rates" in self.given else _row(self.given["step_rates"], k)
            return np.where(self._moving(h), count * rates.astype(self.phi.dtype), 0)
        rates = np.full(self.phi.shape, h.rate * count, self.phi.dtype)
        r = h.rate_ratios
        if h.rate_per == "leaf":
            rates = rates * self._spread(r)
        elif h.rate_per == "entry":
            rates = rates * np.array(r, self.phi.dtype)
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
            rates[self.objective.slices[leaf]] = 0
        return rates

    def _strengths(self, h: Hypothesis) -> Vector:
        """Lambda, entry by entry."""
        if "sigma" in self.given:
            return (1 / self.given["sigma"] ** 2).astype(self.phi.dtype)
        plain = np.full(self.phi.shape, h.strength, self.phi.dtype)
        return plain * self._spread(h.strengths) if h.strengths else plain

    def _spread(self, numbers: tuple[float, ...]) -> Vector:
        """One number for each leaf, as a vector."""
        found = np.empty(self.phi.shape, self.phi.dtype)
        for place, number in zip(self.objective.slices, numbers, strict=True):
            found[place] = number
        return found

    def _moving(self, h: Hypothesis) -> Any:
        """Where the inner loop moves something."""
        if not h.frozen:
            return True
        moving = np.ones(self.phi.shape, bool)
        for leaf in h.frozen:
            moving[self.objective.slices[leaf]] = False
        return moving

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


def finished(h: Hypothesis, v: Vector, phi: Vector) -> Vector:
    """What an outer optimiser's decay and clipping make of the combined meta-update."""
    if h.outer_decay:
        v = v + h.outer_decay * phi
    if not h.outer_clip:
        return v
    if h.outer_clip_by == "entry":
        return np.clip(v, -h.outer_clip, h.outer_clip)
    return v * min(1, h.outer_clip / np.sqrt(np.sum(v * v)))


def swapped(v: Vector, objective: Objective, pairs: tuple[tuple[int, int], ...]) -> Vector:
    """The vector with the leaves of each pair exchanged."""
    v = v.copy()
    for i, j in pairs:
        a, b = objective.slices[i], objective.slices[j]
        v[a], v[b] = v[b].copy(), v[a].copy()
    return v


def _row(table: Any, k: int) -> Any:
    return table[min(k, len(table) - 1)]


def _place(point: str, steps: int) -> int:
    return {"end": steps, "before": max(0, steps - 1), "start": 0}[point]
