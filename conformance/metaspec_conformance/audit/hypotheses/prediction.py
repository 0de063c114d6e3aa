"""What a hypothesis says of one task: the meta-update, from gradients and Hessians alone, in any format."""

from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, loss_weights, steps_kept
from metaspec_conformance.audit.hypotheses.inner_loops import InnerLoops, Path, swapped
from metaspec_conformance.audit.hypotheses.inner_rules import as_plain
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.system_solvers import solved

ROWS = frozenset({"rate", "rate_ratios", "strength", "strengths", "hessian_factor", "decay", "shrink", "loss_weights"})
"""The numbers that hypotheses may differ in and yet be computed at once."""


class Predictor(InnerLoops):
    """Meta-updates on one objective from one phi."""

    def update(self, h: Hypothesis, task: int) -> Vector:
        """Delta of one task, started from phi."""
        return self.result(h, task, self.path(h, task), self.phi)

    def rows(self, many: Hypothesis, task: int, count: int) -> Vector:
        """Delta of hypotheses that differ in the numbers of `ROWS`, which are columns of `many`, row by row."""
        start = np.broadcast_to(self.started(many, self.phi), (count, self.phi.size))
        path = self.walked(many, task, Path([start], states=[many.rule.begin(start)]))
        return self.result(many, task, path, self.phi)

    def learned(self, h: Hypothesis, task: int) -> dict[str, Vector]:
        """The query loss's gradient with respect to each learned input that is given."""
        found: dict[str, Vector] = {}
        path = self.path(h, task)
        implicit = h.algorithm in ("imaml", "reptile")  # sigma-Reptile learns sigma by the implicit gradient too
        (self._implicit if implicit else self._chained)(h, task, path, self.phi, found)
        return {name: found.get(name, np.zeros_like(value)) for name, value in self.given.items()}

    def result(self, h: Hypothesis, task: int, path: Path, phi: Vector) -> Vector:
        """Delta, from the path."""
        if h.algorithm == "reptile":
            moved = phi - path.points[h.steps]
            if h.proximal and (h.strengths or "sigma" in self.given):
                moved = moved * self._strengths(h) / (h.strength if h.strengths else 1)
            return self._out(h, moved)
        compute = self._implicit if h.algorithm == "imaml" else self._chained
        return self._out(h, compute(h, task, path, phi, None))

    def _chained(self, h: Hypothesis, task: int, path: Path, phi: Vector, learned: dict[str, Any] | None) -> Vector:
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
                if learned is not None:
                    self._learn(h, learned, path, k, before, dg, drates * moving)
                if kept[k]:
                    at = {"along": k, "start": 0, "end": K, "next": k + 1}[h.hessian_point]
                    product = self._product(h, task, k, path.points[at], dg)
                    v = objective.rounding(v + h.hessian_factor * product + (h.decay + strengths) * dg)
                    at_phi = at_phi - strengths * dg
            if np.any(weights[k]):
                v = v + weights[k] * objective.gradient(task, h.outer_data, path.points[k])
        total = v + at_phi
        return np.where(moving, 0 * total, total) if h.from_zero else h.shrink * total

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

    def _implicit(self, h: Hypothesis, task: int, path: Path, phi: Vector, learned: dict[str, Any] | None) -> Vector:
        theta = path.points[h.steps]
        g = self.objective.gradient(task, h.outer_data, path.points[_place(h.point, h.steps)])
        at = path.points[0] if h.hessian_point == "start" else theta
        H = self.objective.hessian(task, h.hessian_data, at)
        if h.blocks != "full":
            H = H * self._blocks(h.blocks)
        root, (a, b) = np.sqrt(self._strengths(h)), h.operator
        A = a * np.eye(len(phi), dtype=g.dtype) + b * H / (root[..., None] * root[..., None, :])
        rounding = self.objective.rounding
        if g.ndim > 1:
            x = np.stack([solved(h, *system, rounding) for system in zip(A, g / root, strict=True)])
        else:
            x = solved(h, A, g / root, rounding)
        if learned is not None and "sigma" in self.given:
            learned["sigma"] = 2 * (theta - phi) * (x / root) / self.given["sigma"] ** 3
        return root * x

    def _product(self, h: Hypothesis, task: int, k: int, theta: Vector, v: Vector) -> Vector:
        """The Hessian times v, or the difference quotient in its place."""
        part = self._part(h, task, k) if h.hessian_data == h.inner_data else h.hessian_data
        if not h.difference:
            return self.objective.product(task, part, theta, v)
        form, _, relative = h.difference_form.partition(" / ")
        step = h.difference / (np.sqrt(np.sum(v * v, axis=-1, keepdims=True)) if relative else 1)
        ahead = self.objective.gradient(task, part, theta + step * v)
        behind = self.objective.gradient(task, part, theta - step * v if form == "central" else theta)
        return (ahead - behind) / (step * (2 if form == "central" else 1))

    def _out(self, h: Hypothesis, v: Vector) -> Vector:
        if h.swaps:
            v = swapped(v, self.objective, h.swaps)
        for leaf in h.transposed:
            v, place, shape = v.copy(), self.objective.slices[leaf], self.objective.shapes[leaf]
            turned = np.reshape(v[..., place], (*v.shape[:-1], *shape)).swapaxes(-1, -2)
            v[..., place] = turned.reshape(*v.shape[:-1], -1)
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


def _place(point: str, steps: int) -> int:
    return {"end": steps, "before": max(0, steps - 1), "start": 0}[point]
