"""The free numbers of a hypothesis by name, and moves of them by which it explains more."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.inner_rules import TriedRule
from metaspec_conformance.audit.hypotheses.objective import Vector

DAMPINGS = (0.0, 1e-4, 1e-2, 0.1, 1.0)  # of the moves that are tried, relative to the largest singular value


def with_numbers(h: Hypothesis, fields: Sequence[str], numbers: Iterable[float]) -> Hypothesis:
    """The hypothesis with other numbers in its free fields, "rate" or "rate_ratios[2]", say."""
    changes: dict[str, Any] = {}
    for name, x in zip(fields, numbers, strict=True):
        field, _, place = name.partition("[")
        if not place:
            changes[field] = x if np.ndim(x) else float(x)
            continue
        row = changes.setdefault(field, list(h.rule.constants if field == "constants" else getattr(h, field)))
        row[int(place[:-1])] = x if np.ndim(x) else float(x)
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


def newton_move(
    h: Hypothesis, fields: Sequence[str], predict: Callable[[Hypothesis], Vector], seen: Vector
) -> Vector | None:
    """Gauss and Newton's move of the numbers in `fields`, the factor on the prediction projected out.

    None where a prediction is not finite or does not depend on one of the numbers.
    """

    def rows(numbers: Vector) -> Vector:
        return np.stack([predict(with_numbers(h, fields, x)) for x in numbers])

    return next(damped_moves(np.array(numbers(h, fields)), rows, seen), None)


def damped_moves(x: Vector, predict: Callable[[Vector], Vector], seen: Vector) -> Iterator[Vector]:
    """Yield the Gauss-Newton move of the numbers x towards what was seen, then Levenberg and Marquardt's."""
    steps = 1e-6 * (np.abs(x) + 1e-12)
    found = predict(np.concatenate([x[None], x + np.diag(steps), x - np.diag(steps)]))
    J = np.concatenate([found[:1], (found[1 : len(x) + 1] - found[len(x) + 1 :]) / (2 * steps[:, None])]).T
    sizes = np.linalg.norm(J, axis=0)
    if not np.all(np.isfinite(J)) or not np.all(sizes):
        return
    along, others = J[:, 0] / sizes[0], J[:, 1:] / sizes[1:]
    factor = float(along @ seen) / sizes[0]
    if factor == 0:
        return
    u, s, vt = np.linalg.svd(others - np.outer(along, along @ others), full_matrices=False)
    s, rest = np.maximum(s, 1e-14), u.T @ (seen - along * (along @ seen))
    for damping in DAMPINGS:
        yield vt.T @ (rest * s / (s * s + (damping * s[0]) ** 2)) / sizes[1:] / factor
