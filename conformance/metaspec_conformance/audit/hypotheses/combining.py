"""How the tasks' meta-updates are combined: the mean, a sum, other weights, or one task's traces in the next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.inner_loops import Path
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.prediction import Predictor
from metaspec_conformance.audit.thresholds import SAME_NUMBER

COMBINATIONS = ("mean", "sum", "first", "last", "by query size", "by support size")


@dataclass(frozen=True)
class Combined:
    """How several tasks' result is made of the single ones.

    Attributes:
        rule: "mean", "sum", "by query size", "by support size", "first", "last", "constant", "weights"; or None where
            it is no combination of them.
        weights: Of each task.
        residual: What remains.
        carried: "parameters", "path", "updates" or "state", where a task begins with what the one before it left.
    """

    rule: str | None
    weights: tuple[float, ...]
    residual: float
    carried: str | None = None


def combined(
    whole: Vector, singles: Sequence[Vector], sizes: Sequence[tuple[int, int]], close: float = SAME_NUMBER
) -> Combined:
    """The weights that fit best, and what they are to within `close`."""
    columns = np.stack(list(singles), axis=1)
    w, *_ = np.linalg.lstsq(columns, whole, rcond=None)
    residual = float(np.linalg.norm(whole - columns @ w) / np.linalg.norm(whole))
    return Combined(rule_of(w, sizes, close), tuple(float(x) for x in w), residual)


def rule_of(w: Any, sizes: Sequence[tuple[int, int]], close: float = SAME_NUMBER) -> str:
    """The rule that gives these weights."""
    for rule in COMBINATIONS:
        if np.allclose(w, weights(rule, sizes), rtol=close, atol=close):
            return rule
    return "constant" if np.allclose(w, w[0], rtol=close) else "weights"


def weights(rule: str, sizes: Sequence[tuple[int, int]], constant: Sequence[float] = ()) -> Any:
    """The weights of a rule; "constant" and "weights" take them from `constant`."""
    n = len(sizes)
    if rule in ("mean", "sum"):
        return np.full(n, 1 / n if rule == "mean" else 1.0)
    if rule in ("first", "last"):
        return np.eye(n)[0 if rule == "first" else n - 1]
    if rule.startswith("by "):
        counts = np.array([size[rule == "by query size"] for size in sizes], float)
        return counts / counts.sum()
    return np.resize(np.array(constant, float), n)


def chained(h: Hypothesis, predictor: Predictor, tasks: Sequence[int], carried: str, factor: float) -> Vector:
    """The sum of the tasks' meta-updates where each begins with what the one before it left.

    Args:
        h: What each computes.
        predictor: What one task gives.
        tasks: In their order.
        carried: "parameters": from the adapted parameters of the task before; "path": likewise, with Reptile's
            difference to phi; "updates": after an outer update of its own; "state": with the inner optimiser's state.
        factor: The factor on a task's meta-update, for "updates".
    """
    phi = start = predictor.phi
    state, total = h.rule.begin(phi), np.zeros_like(phi)
    for i, task in enumerate(tasks):
        one = replace(predictor, phi=start, _paths={})
        earlier = i * h.steps if carried == "state" else 0
        path = one.walked(h, task, Path([one.started(h, start)], states=[state], earlier=earlier))
        delta = one.result(h, task, path, phi if carried == "path" else start)
        total = total + delta
        if carried in ("parameters", "path"):
            start = path.points[h.steps]
        elif carried == "updates":
            start = start - factor * delta
        else:
            state = path.states[h.steps]
    return total
