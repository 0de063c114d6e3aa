"""The single deviations from an algorithm; faults that come in pairs are products of two."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from metaspec_conformance.audit.hypotheses.expectation import Expectation
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import FREE, TRIED
from metaspec_conformance.audit.hypotheses.objective import Objective

MOST_NUMBERS = 30  # that are fitted at once: three tasks' results have to determine them


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
    for rule in TRIED if h.steps else ():
        yield "rule", {"rule": rule}
    if h.steps > 1:
        yield "rates", {"rate_per": "linear"}
    for decay in (0.1, 0.01, 1e-3, 1e-4, 5e-4):
        yield "decay", {"decay": decay}
    for size in range(1, objective.examples(0, h.inner_data)) if objective.divides and h.steps else ():
        for form in ("around", "split", "first"):
            yield "minibatches", {"minibatch": size, "minibatch_form": form}
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


Structure = tuple[Hypothesis, tuple[str, ...]]
"""A hypothesis, and the names of its numbers that nobody knows: a field, or "field[place]" of a tuple."""

QUOTIENTS = ("central / |v|", "central", "forward / |v|", "forward")


def freed(h: Hypothesis) -> Iterator[Structure]:
    """Structures with one or two numbers that nobody knows."""
    if h.steps:
        yield h, ("rate",)
        yield replace(h, inner_sum=True), ("rate",)
        yield replace(h, decay=0.01), ("decay",)
        for rule, count in FREE:
            yield replace(h, rule=rule), tuple(f"constants[{i}]" for i in range(count))
        yield replace(h, shrink=0.9), ("shrink",)
    if h.steps > 1:
        for law in ("geometric", "harmonic"):
            yield replace(h, rate_per=law, rate_ratios=(0.5,)), ("rate_ratios[0]",)
    if h.algorithm == "maml":
        yield h, ("hessian_factor",)
        for form in QUOTIENTS if h.steps else ():
            yield replace(h, difference=0.01, difference_form=form), ("difference",)
    if h.algorithm != "reptile":
        yield replace(h, outer_decay=0.01), ("outer_decay",)
        for by in ("norm", "entry"):
            yield replace(h, outer_clip=1.0, outer_clip_by=by), ("outer_clip",)
    if h.algorithm == "imaml":
        yield h, ("strength",)
        yield h, ("operator[1]",)
        for n in {*range(1, 11), h.solver_steps} - {0}:
            yield replace(h, solver="neumann", solver_steps=n, solver_rate=0.5), ("solver_rate",)
    elif h.steps:
        yield replace(h, proximal=True), ("strength",)


def vectors(h: Hypothesis, objective: Objective) -> Iterator[Structure]:
    """Structures with a number for each leaf, step, or entry."""

    def free(name: str, count: int) -> tuple[str, ...]:
        return tuple(f"{name}[{i}]" for i in range(count))

    leaves = len(objective.shapes)
    for per, count in (("step", h.steps), ("leaf", leaves), ("entry", objective.size)) if h.steps else ():
        if count > 1 and count <= MOST_NUMBERS and h.algorithm != "imaml":
            yield replace(h, rate_per=per, rate_ratios=(1.0,) * count), free("rate_ratios", count)
    if h.algorithm in ("maml", "fomaml") and h.steps > 1:
        yield replace(h, every="weighted", loss_weights=(0.5,) * (h.steps - 1)), free("loss_weights", h.steps - 1)
    if 1 < leaves <= MOST_NUMBERS and h.steps and h.algorithm != "fomaml":
        pulled = replace(h, proximal=True, strengths=(1.0,) * leaves)
        yield pulled, free("strengths", leaves)
