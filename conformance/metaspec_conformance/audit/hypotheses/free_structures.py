"""Deviations by numbers that nobody knows: one or two, or one for each leaf, step or entry."""

from collections.abc import Iterator
from dataclasses import replace

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.inner_rules import FREE
from metaspec_conformance.audit.hypotheses.objective import Objective

MOST_PEAKS = 5
MOST_NUMBERS = 30  # that are fitted at once: three tasks' results have to determine them
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
        yield h, ("operator[0]",)
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
            for start in _peaks(count) if per == "step" else [(1.0,) * count]:
                yield replace(h, rate_per=per, rate_ratios=start), free("rate_ratios", count)
    if h.algorithm in ("maml", "fomaml") and h.steps > 1:
        yield replace(h, every="weighted", loss_weights=(0.5,) * (h.steps - 1)), free("loss_weights", h.steps - 1)
    if 1 < leaves <= MOST_NUMBERS and h.steps and h.algorithm != "fomaml":
        pulled = replace(h, proximal=True, strengths=(1.0,) * leaves)
        yield pulled, free("strengths", leaves)


def _peaks(count: int) -> Iterator[tuple[float, ...]]:
    """Numbers that are all alike, and some with one that is larger or smaller: other orders are minima of their own."""
    yield (1.0,) * count
    for one, other in ((2.5, 0.4), (0.4, 2.5)):
        for place in range(min(count, MOST_PEAKS)):
            yield tuple(one if k == place else other for k in range(count))
