"""The single deviations from an algorithm; faults that come in pairs are products of two."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from metaspec_conformance.audit.hypotheses.expectation import Expectation
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import TRIED
from metaspec_conformance.audit.hypotheses.objective import Objective


@dataclass(frozen=True)
class Move:
    """A deviation: the fields that it changes, and the dimension that it is one of (a pair has two dimensions)."""

    dimension: str
    changes: dict[str, Any]

    def __call__(self, h: Hypothesis) -> Hypothesis:
        """The hypothesis that deviates."""
        return replace(h, **self.changes)


def moves(h: Hypothesis, expected: Expectation, objective: Objective) -> list[Move]:
    """All single deviations of a canonical hypothesis."""
    return [
        Move(dimension, changes)
        for part in (_data(h, objective), _loop(h, expected, objective), _leaves(h, objective), _chain(h), _implicit(h))
        for dimension, changes in part
        if any(getattr(h, name) != value for name, value in changes.items())
    ]


Changes = Iterator[tuple[str, dict[str, Any]]]


def _data(h: Hypothesis, objective: Objective) -> Changes:
    sets = ("support", "query", "both") if objective.joins else ("support", "query")
    for part in sets:
        yield "inner data", {"inner_data": part} | ({"hessian_data": part} if h.algorithm != "reptile" else {})
    if h.algorithm == "reptile":
        return
    for part in sets:
        yield "outer data", {"outer_data": part}
        yield "data", {"inner_data": part, "hessian_data": part, "outer_data": part}
    yield "data", {"inner_data": "query", "hessian_data": "query", "outer_data": "support"}
    if h.algorithm != "fomaml":
        for part in sets:
            yield "hessian data", {"hessian_data": part}


def _loop(h: Hypothesis, expected: Expectation, objective: Objective) -> Changes:
    if expected.steps is not None:
        for steps in sorted({*range(9), 2 * h.steps}):
            if steps or h.algorithm in ("fomaml", "imaml"):
                yield "steps", {"steps": steps}
    yield "rate", {"inner_sum": True}
    if expected.rate is not None:
        for n in objective.entries(0):
            yield "rate", {"inner_sum": True, "rate": h.rate * n}
            yield "rate", {"rate": h.rate * n}
        for factor in (2.0, 0.5, -1.0, h.rate, 1 / h.rate, float(max(1, h.steps)), 1 / max(1, h.steps)):
            yield "rate", {"rate": h.rate * factor}
    rules = TRIED if expected.rate is not None else {rule.kind: rule for rule in reversed(TRIED)}.values()
    for rule in rules if h.steps else ():
        yield "rule", {"rule": rule}
    if h.steps > 1:
        yield "rates", {"rate_per": "linear"}
    for decay in (0.1, 0.01, 1e-3, 1e-4, 5e-4):
        yield "decay", {"decay": decay}
    parts = dict.fromkeys((h.inner_data, "support")) if objective.divides and h.steps else ()  # Reptile's: both, or one
    for part in parts:
        for size in range(1, objective.examples(0, part)):
            for form in ("around", "split", "first"):
                yield "minibatches", {"minibatch": size, "minibatch_form": form, "inner_data": part}
    if h.algorithm == "imaml":
        yield "proximal", {"proximal": False}
    elif expected.strength is not None:
        yield "proximal", {"proximal": True, "strength": expected.strength}


def _leaves(h: Hypothesis, objective: Objective) -> Changes:
    count = len(objective.shapes)
    if count > 1:
        sizes = range(1, count) if count <= 5 else (1, count - 1)
        for size in sizes:
            for frozen in combinations(range(count), size):
                yield "frozen", {"frozen": frozen}
                if h.algorithm == "maml" and h.steps:
                    yield "frozen", {"frozen": frozen, "from_zero": True}
    pairs = [(i, j) for i, j in combinations(range(count), 2) if objective.shapes[i] == objective.shapes[j]]
    for pair in pairs:
        yield "inner swap", {"inner_swap": pair}
        yield "swaps", {"swaps": (pair,)}
    for both in combinations(pairs, 2):
        if not set(both[0]) & set(both[1]):
            yield "swaps", {"swaps": both}
    square = [i for i, shape in enumerate(objective.shapes) if len(shape) == 2 and shape[0] == shape[1] > 1]
    for leaf in square:
        yield "transposed", {"transposed": (leaf,)}
    if len(square) > 1:
        yield "transposed", {"transposed": tuple(square)}


def _chain(h: Hypothesis) -> Changes:
    if h.algorithm not in ("maml", "fomaml"):
        return
    if h.steps:
        yield "every", {"every": "from 1"}
        yield "every", {"every": "from 0"}
    if h.algorithm == "fomaml":
        return
    for point in ("before", "start"):
        yield "point", {"point": point}
    for mask in masks(h.steps):
        yield "mask", {"mask": mask}
    for factor in (-1.0, 2.0, 0.5, h.rate, 1 / h.rate):
        yield "hessian factor", {"hessian_factor": factor}
    for point in ("start", "end", "next"):
        yield "hessian point", {"hessian_point": point}


def masks(steps: int) -> list[str]:
    """Masks that keep some steps and drop some, each once; beyond six steps those that keep or drop a run at an end."""
    found: dict[tuple[bool, ...], str] = {}
    for name in ("first", "last", "but first", "but last"):
        for n in range(1, steps):
            found.setdefault(steps_kept(f"{name} {n}", steps), f"{name} {n}")
    for number in range(1, 2**steps - 1) if steps <= 6 else ():
        bits = f"{number:0{steps}b}"
        found.setdefault(steps_kept(bits, steps), bits)
    return list(found.values())


def _implicit(h: Hypothesis) -> Changes:
    if h.algorithm != "imaml":
        return
    s = h.strength
    for operator in (
        (1.0, s),
        (1.0, s * s),
        (0.0, 1.0),
        (2.0, 1.0),
        (1.0, 2.0),
        (1.0, -1.0),
        (1 + s, 1.0),
        (1 + 1 / s, 1.0),
    ):
        yield "operator", {"operator": operator}
    for blocks in ("leaf", "diagonal"):
        yield "blocks", {"blocks": blocks}
    yield "hessian point", {"hessian_point": "start"}
    yield "solver", {"solver": "exact", "solver_steps": 0}
    for solver in ("conjugate gradients", "old residual", "normal equations", "neumann"):
        for n in range(1 if solver != "old residual" else 2, 13):
            yield "solver", {"solver": solver, "solver_steps": n}
