"""Numbers that code holds in another format than it was given them in: a rate in a float32 tensor, say.

They differ from the given ones by less than `SAME_NUMBER`, as no fault does, and by more than roundoff, which a result
in float64 shows. A hypothesis that leaves little is therefore tried with numbers that differ by so little.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.search.free_numbers import newton_move, numbers, with_numbers
from metaspec_conformance.audit.thresholds import SAME_NUMBER

ROUNDS = 4  # of Gauss and Newton's method; it starts within 1e-6 of the solution
SNAP = 1e-9  # relative distance from a number in float32 at which a fitted number is taken to be that one


def in_float32(x: float) -> float:
    """Return what float32 holds of the number with few digits that is nearest to `x`.

    Example:
        >>> from metaspec_conformance.audit.search.number_formats import in_float32
        >>> in_float32(0.0500000012)
        0.05000000074505806
    """
    return float(np.float32(float(f"{x:.6g}")))


def is_held_in_float32(x: float) -> bool:
    """Return whether `x` is a number with few digits, rounded to float32."""
    short = float(f"{x:.6g}")
    return x != short and abs(x - in_float32(x)) <= 1e-12 * abs(x)


def adjusted(
    h: Hypothesis, predict: Callable[[Hypothesis], Vector], observed: Vector, most: float
) -> Hypothesis | None:
    """Return the hypothesis with numbers that differ by less than `SAME_NUMBER` and explain what was observed.

    Args:
        h: The hypothesis.
        predict: What a hypothesis predicts, up to a factor.
        observed: What is to be explained.
        most: The relative residual that may remain.

    Returns:
        The hypothesis with as few numbers changed as possible; None where none explains.
    """
    if not np.any(observed):
        return None
    for fields in _subsets(h):
        start = np.array(numbers(h, fields))
        x = _fitted(h, fields, start, predict, observed)
        if np.any(np.abs(x - start) > SAME_NUMBER * np.abs(start)):
            continue
        snapped = [in_float32(v) if abs(v - in_float32(v)) <= SNAP * abs(v) else v for v in x]
        for y in (snapped, list(x)):
            found = with_numbers(h, fields, y)
            if _residual(predict(found), observed) <= most:
                return found
    return None


def _subsets(h: Hypothesis) -> Iterator[tuple[str, ...]]:
    """Yield the sets of numbers that a hypothesis has, single ones first."""
    fields = ["rate"] * (h.steps > 0)
    fields += ["strength"] * (h.proximal or h.algorithm == "imaml")
    fields += [f"constants[{i}]" for i, c in enumerate(h.rule.constants[:1]) if c] + ["decay"] * (h.decay != 0)
    for size in range(1, len(fields) + 1):
        yield from combinations(fields, size)


def _fitted(
    h: Hypothesis, fields: tuple[str, ...], start: Vector, predict: Callable[[Hypothesis], Vector], observed: Vector
) -> Vector:
    """Return the numbers that fit best near `start`, by Gauss and Newton's method, with the factor projected out."""
    x = start.copy()
    for _ in range(ROUNDS):
        move = newton_move(with_numbers(h, fields, x), fields, predict, observed)
        if move is None:
            return start
        x = x + np.clip(move, -2 * SAME_NUMBER * np.abs(x), 2 * SAME_NUMBER * np.abs(x))
    return x


def _residual(predicted: Vector, observed: Vector) -> float:
    length = float(np.dot(predicted, predicted))
    if not np.isfinite(length) or length == 0:
        return float("inf")
    scale = float(np.dot(predicted, observed)) / length
    return float(np.linalg.norm(observed - scale * predicted) / np.linalg.norm(observed))
