"""How well a hypothesis explains what was seen, and the numbers with which it does so best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.prediction import ROWS, Predictor, finished
from metaspec_conformance.audit.search.free_numbers import damped_moves, numbers, with_numbers
from metaspec_conformance.audit.thresholds import FIT_ALL_TARGETS, PROMISING

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

    def rows(self, h: Hypothesis, fields: Sequence[str], numbers: Vector, outer_sum: bool) -> Vector:
        """Return the mean meta-update for each row of numbers in the free fields, of losses that are means or sums."""
        many = with_numbers(h, fields, numbers.T[..., None])
        counts = [self.predictor.objective.examples(i, h.outer_data) if outer_sum else 1 for i in self.tasks]
        parts = [n * self.predictor.rows(many, i, len(numbers)) for n, i in zip(counts, self.tasks, strict=True)]
        return self._finished(h, parts)

    def _finished(self, h: Hypothesis, parts: Sequence[Vector]) -> Vector:
        return finished(h, sum(parts[1:], parts[0]) / len(parts), self.predictor.phi)[..., self.keep]


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


def grid_search(
    h: Hypothesis, fields: Sequence[str], starts: Iterable[Sequence[float]], targets: Sequence[SearchTarget]
) -> tuple[Fit, float]:
    """The best of some numbers in the free fields, by the first target alone, and what better numbers may leave."""
    tried, left = list(starts), WORST
    if _in_rows(h, fields):
        best, left = _nearest(h, fields, np.array(tried), targets[0])
        tried = [best]
    fit = min((evaluate(with_numbers(h, fields, x), targets[:1]) for x in tried), key=lambda fit: fit.residual)
    if left == WORST and fit.residual < PROMISING and len(fields) <= FEW_NUMBERS:
        fit = gauss_newton(fit.hypothesis, fields, targets[:1], 2)
    return fit, min(left, fit.residual)


def _in_rows(h: Hypothesis, fields: Sequence[str]) -> bool:
    """Whether hypotheses that differ in these numbers can be computed at once."""
    return ROWS.issuperset(name.partition("[")[0] for name in fields) and h.rule.by_entry and not h.outer_clip


def _nearest(h: Hypothesis, fields: Sequence[str], numbers: Vector, target: SearchTarget) -> tuple[Vector, float]:
    """The row of numbers that predicts the direction of what was seen best, and what is left with those between.

    That is estimated by a curve through the row and its neighbours; WORST where there are several numbers.
    """
    seen = target.delta[target.keep]
    with np.errstate(all="ignore"):
        try:
            v = target.rows(h, fields, numbers, False)
        except np.linalg.LinAlgError:
            return numbers[0], WORST
        best = int(np.argmax(np.nan_to_num(np.abs(v @ seen) / np.sqrt(np.sum(v * v, axis=-1)), nan=-1.0)))
    if len(fields) > 1:
        return numbers[best], WORST
    curve = v[max(best - 1, 0) : best + 2]
    curve = curve[np.all(np.isfinite(curve), axis=-1)].T
    off = seen - curve @ np.linalg.lstsq(curve, seen, rcond=None)[0]
    return numbers[best], _norm(off) / max(_norm(seen), 1e-300)


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


def gauss_newton(h: Hypothesis, fields: Sequence[str], targets: Sequence[SearchTarget], rounds: int) -> Fit:
    """Gauss and Newton's method on the free numbers, damped where it leaves more, the factor projected out."""
    best, seen = evaluate(h, targets), observed(targets)
    for _ in range(rounds):
        before, x = best, np.array(numbers(best.hypothesis, fields))

        def predict(numbers: Vector, fit: Fit = best) -> Vector:
            return predicted_rows(fit, fields, numbers, targets)

        for move in damped_moves(x, predict, seen):
            y = x + np.clip(move, -0.7 * np.abs(x) - 1e-3, 2 * np.abs(x) + 1e-3)
            trial = evaluate(with_numbers(h, fields, y), targets)
            if trial.residual < best.residual:
                best = trial
            if best.residual < 0.5 * before.residual:
                break
        if best.residual > 0.999 * before.residual:
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


def predicted_rows(fit: Fit, fields: Sequence[str], numbers: Vector, targets: Sequence[SearchTarget]) -> Vector:
    """Return the same with each row of numbers in the free fields of a fit."""
    if not _in_rows(fit.hypothesis, fields):
        each = (with_numbers(fit.hypothesis, fields, x) for x in numbers)
        return np.stack([predicted(h, fit.outer_sum, targets) for h in each])
    with np.errstate(all="ignore"):
        parts = [target.rows(fit.hypothesis, fields, numbers, fit.outer_sum) for target in targets]
    return np.concatenate(parts, axis=-1)


def observed(targets: Sequence[SearchTarget]) -> Vector:
    """Return the results of all targets as one vector."""
    return np.concatenate([target.delta[target.keep] for target in targets])


def _norm(x: Vector) -> float:
    return float(np.sqrt(np.dot(x, x)))
