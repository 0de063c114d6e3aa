"""What the code is meant to compute: the claim and the settings, against which deviations are counted and named."""

from dataclasses import dataclass
from typing import Any

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, canonical
from metaspec_conformance.audit.hypotheses.inner_rules import PLAIN
from metaspec_conformance.audit.thresholds import SAME_NUMBER


@dataclass(frozen=True)
class Expectation:
    """The claim; None is what nobody claimed, and what is found there is no fault.

    Attributes:
        algorithm: The claimed one.
        steps: K.
        rate: The inner rate.
        strength: lambda.
        cg_steps: Of iMAML's solver.
        factor: The factor on the meta-update: 1, or of updated parameters the outer rate.
        sums: Whether a sum over tasks is claimed, not the mean.
    """

    algorithm: str | None = None
    steps: int | None = None
    rate: float | None = None
    strength: float | None = None
    cg_steps: int | None = None
    factor: float | None = None
    sums: bool = False


def name_of(h: Hypothesis) -> str:
    """The algorithm's name in reports: without inner steps nothing is adapted."""
    return "gradient" if h.steps == 0 and h.algorithm in ("maml", "fomaml") else h.algorithm


def deviations(h: Hypothesis, expected: Expectation, entries: tuple[int, ...] = ()) -> tuple[str, ...]:
    """The codes of what deviates, from the claim or, where nothing is claimed, from the algorithm itself."""
    base: Any = canonical(h.algorithm, h.steps, h.rate, h.strength)
    found = []
    if expected.algorithm is not None and name_of(h) != expected.algorithm:
        found.append("algorithm")
    if expected.steps is not None and h.steps != expected.steps and not (name_of(h) == "gradient" and found):
        found.append("steps")
    if h.inner_sum:
        found.append("inner-sum")
    if expected.rate is not None and h.steps:
        allowed = [expected.rate * n for n in (1, *(entries if h.inner_sum else ()))]
        if all(abs(h.rate - rate) > SAME_NUMBER * abs(rate) for rate in allowed):
            found.append("inner-rate")
    if h.inner_data != base.inner_data and h.steps:
        found.append("inner-data")
    if h.algorithm != "reptile":
        found += ["outer-data"] * (h.outer_data != "query")
    if h.algorithm in ("maml", "imaml"):
        found += ["hessian-data"] * (h.hessian_data != h.inner_data)
        found += ["hessian-point"] * (h.hessian_point != "along")
    found += ["partial-second-order"] * (h.mask != "all")
    found += ["hessian-factor"] * (h.hessian_factor != 1)
    found += ["outer-point"] * (h.point != "end") + ["multi-step-loss"] * bool(h.every)
    unlike = h.rule != PLAIN or h.decay != 0 or (h.proximal and h.algorithm != "imaml")
    found += ["inner-optimizer"] * bool(unlike and h.steps)
    found += ["leaf-frozen"] * bool(h.frozen)
    found += ["leaf-exchanged"] * bool(h.inner_swap or h.swaps or h.transposed)
    if h.algorithm == "imaml":
        found += _of_imaml(h, expected)
    return tuple(found)


def _of_imaml(h: Hypothesis, expected: Expectation) -> list[str]:
    found = ["proximal-missing"] * (not h.proximal)
    if expected.strength is not None and abs(h.strength - expected.strength) > SAME_NUMBER * expected.strength:
        found.append("regularization")
    found += ["operator"] * (h.operator != (1.0, 1.0)) + ["block-diagonal"] * (h.blocks != "full")
    taken = h.solver_steps if h.solver == "conjugate gradients" else 0
    unlike = expected.cg_steps is not None and taken != expected.cg_steps
    found += ["solver"] * bool(h.solver == "neumann" or unlike)
    return found
