"""How well a hypothesis explains what was seen, and the numbers with which it does so best."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.inner_rules import TriedRule
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.prediction import Predictor, finished
from metaspec_conformance.audit.thresholds import FIT_ALL_TARGETS

WORST = float("inf")
FEW_NUMBERS = 6  # which one target determines; more are fitted on all of them


@dataclass(frozen=True)
class SearchTarget:
    """What the code gave for some tasks of one problem.

    Attributes:
        predictor: The hypotheses' side of it.
        tasks: Which tasks went in, together.
        delta: The result, read as a meta-update.
        keep: The entries that count: leaves whose results are all zero say nothing of the rest.
    """

    predictor: Predictor
    tasks: tuple[int, ...]
    delta: Vector
    keep: Any

    def predicted(self, h: Hypothesis) -> tuple[Vector, Vector]:
        """The mean over the tasks of their meta-updates, for outer losses that are a mean and a sum over examples."""
        parts = [self.predictor.update(h, task) for task in self.tasks]
        mean = self._finished(h, parts)
        if h.algorithm == "reptile":
            return mean, mean
        counts = [self.predictor.objective.examples(task, h.outer_data) for task in self.tasks]
        return mean, self._finished(h, [n * v for n, v in zip(counts, parts, strict=True)])

    def _finished(self, h: Hypothesis, parts: Sequence[Vector]) -> Vector:
        return finished(h, sum(parts[1:], parts[0]) / len(parts), self.predictor.phi)[self.keep]


@dataclass(frozen=True)
class Fit:
    """A hypothesis held against the targets, with one factor for all of them.

    Attributes:
        hypothesis: What was held.
        scale: The factor that fits best.
        outer_sum: Whether the outer loss is a sum over its examples.
        residual: ||seen - scale * predicted|| / ||seen||.
        cosine: Of the angle between the two.
    """

    hypothesis: Hypothesis
    scale: float
    outer_sum: bool
    residual: float
    cosine: float


def evaluate(h: Hypothesis, targets: Sequence[SearchTarget], screen: float = WORST) -> Fit:
    """The better of mean and sum over the outer loss's examples.

    Args:
        h: The hypothesis.
        targets: What was seen.
        screen: A hypothesis that explains the first target worse than this is held against that one alone.
    """
    if len(targets) > 1 and screen < WORST:
        first = _evaluate(h, targets[:1])
        if first.residual > screen:
            return first
    return _evaluate(h, targets)


def _evaluate(h: Hypothesis, targets: Sequence[SearchTarget]) -> Fit:
    with np.errstate(all="ignore"):
        try:
            predicted = [s.predicted(h) for s in targets]
        except np.linalg.LinAlgError:
            return Fit(h, 0.0, False, WORST, 0.0)
        seen = observed(targets)
        size = _norm(seen)
        best = Fit(h, 0.0, False, WORST, 0.0)
        for outer_sum in (False, True) if len(predicted) > 1 and h.algorithm != "reptile" else (False,):
            v = np.concatenate([pair[outer_sum] for pair in predicted])
            length = _norm(v)
            if not np.isfinite(length) or length == 0 or size == 0:
                continue
            cosine = float(np.dot(v / length, seen / size))
            scale = cosine * size / length
            residual = float(_norm(seen - scale * v) / size)
            if residual < 0.5 * best.residual or not np.isfinite(best.residual):
                best = Fit(h, float(scale), outer_sum, residual, cosine)
        return best


def with_numbers(h: Hypothesis, fields: Sequence[str], numbers: Iterable[float]) -> Hypothesis:
    """The hypothesis with other numbers in its free fields, "rate" or "rate_ratios[2]", say."""
    changes: dict[str, Any] = {}
    for name, x in zip(fields, numbers, strict=True):
        field, _, place = name.partition("[")
        if not place:
            changes[field] = float(x)
            continue
        row = changes.setdefault(field, list(h.rule.constants if field == "constants" else getattr(h, field)))
        row[int(place[:-1])] = float(x)
    plain: dict[str, Any] = {field: tuple(x) if isinstance(x, list) else x for field, x in changes.items()}
    if "constants" in plain:
        plain["rule"] = TriedRule(h.rule.kind, plain.pop("constants"))
    return replace(h, **plain)


def numbers(h: Hypothesis, fields: Sequence[str]) -> list[float]:
    """The numbers in those fields."""
    found = []
    for name in fields:
        field, _, place = name.partition("[")
        value: Any = h.rule.constants if field == "constants" else getattr(h, field)
        found.append(float(value[int(place[:-1])] if place else value))
    return found


def grid_search(
    h: Hypothesis, fields: Sequence[str], starts: Iterable[Sequence[float]], targets: Sequence[SearchTarget]
) -> Fit:
    """The best of some numbers in the free fields, by the first target alone."""
    fits = (evaluate(with_numbers(h, fields, x), targets[:1]) for x in starts)
    return min(fits, key=lambda fit: fit.residual)


def fit_numbers(rough: Fit, fields: Sequence[str], targets: Sequence[SearchTarget]) -> Fit:
    """The numbers in the free fields that fit best, from those that a coarse brought."""
    if len(fields) > FEW_NUMBERS:
        first = gauss_newton(rough.hypothesis, fields, targets, 3)
        return first if first.residual > FIT_ALL_TARGETS else gauss_newton(first.hypothesis, fields, targets, 6)
    one = gauss_newton(rough.hypothesis, fields, targets[:1], 12)
    return (
        gauss_newton(one.hypothesis, fields, targets, 8)
        if one.residual < FIT_ALL_TARGETS
        else evaluate(one.hypothesis, targets)
    )


def newton_move(
    h: Hypothesis, fields: Sequence[str], predict: Callable[[Hypothesis], Vector], seen: Vector
) -> Vector | None:
    """Gauss and Newton's move of the numbers in `fields`, the factor on the prediction projected out.

    None where a prediction is not finite or does not depend on one of the numbers.
    """
    x = np.array(numbers(h, fields))
    columns = [predict(h)]
    for i in range(len(x)):
        step = 1e-6 * (abs(x[i]) + 1e-12) * np.eye(len(x))[i]
        ahead, behind = (predict(with_numbers(h, fields, x + s * step)) for s in (1, -1))
        columns.append((ahead - behind) / (2 * step[i]))
    J = np.stack(columns, axis=1)
    sizes = np.linalg.norm(J, axis=0)
    if not np.all(np.isfinite(J)) or not np.all(sizes):
        return None
    solution = np.linalg.lstsq(J / sizes, seen, rcond=None)[0] / sizes
    return np.asarray(solution[1:] / solution[0]) if solution[0] else None


def gauss_newton(h: Hypothesis, fields: Sequence[str], targets: Sequence[SearchTarget], rounds: int) -> Fit:
    """Gauss and Newton on the free numbers, the factor projected out."""
    best, seen = evaluate(h, targets), observed(targets)
    for _ in range(rounds):
        outer_sum, x = best.outer_sum, np.array(numbers(best.hypothesis, fields))
        move = newton_move(best.hypothesis, fields, lambda h, s=outer_sum: predicted(h, s, targets), seen)  # type: ignore[misc]
        if move is None:
            break
        better = None
        for shorter in (1.0, 0.25, 0.05):
            y = x + shorter * np.clip(move, -0.7 * np.abs(x) - 1e-3, 2 * np.abs(x) + 1e-3)
            trial = evaluate(with_numbers(h, fields, y), targets)
            if trial.residual < best.residual:
                better = trial
                break
        if better is None:
            break
        stalled = better.residual > 0.999 * best.residual
        best = better
        if stalled:
            break
    return _rounded(best, fields, targets)


def _rounded(fit: Fit, fields: Sequence[str], targets: Sequence[SearchTarget]) -> Fit:
    """The shortest numbers that fit as well: a rate is written with a few digits."""
    x = numbers(fit.hypothesis, fields)
    for digits in (2, 3, 4):
        short = [float(f"{v:.{digits}g}") for v in x]
        trial = evaluate(with_numbers(fit.hypothesis, fields, short), targets)
        if trial.residual <= max(2 * fit.residual, 1e-14):
            return trial
    return fit


def predicted(h: Hypothesis, outer_sum: bool, targets: Sequence[SearchTarget]) -> Vector:
    """Return what a hypothesis predicts of all targets, up to the factor."""
    with np.errstate(all="ignore"):
        return np.concatenate([s.predicted(h)[outer_sum] for s in targets])


def observed(targets: Sequence[SearchTarget]) -> Vector:
    """Return the results of all targets as one vector."""
    return np.concatenate([target.delta[target.keep] for target in targets])


def _norm(x: Vector) -> float:
    return float(np.sqrt(np.dot(x, x)))
