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
        given: The learned inputs that the code is given.
    """

    algorithm: str | None = None
    steps: int | None = None
    rate: float | None = None
    strength: float | None = None
    cg_steps: int | None = None
    factor: float | None = None
    sums: bool = False
    given: frozenset[str] = frozenset()

    @property
    def gives_rates(self) -> bool:
        """Whether the code is given a rate for each entry, or for each leaf and step."""
        return bool(self.given & {"rates", "step_rates"})


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
    if expected.rate is not None and h.steps and h.rate_per != "given":
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
    found += ["difference"] * bool(h.difference) + ["minibatches"] * bool(h.minibatch)
    found += ["shrinkage"] * (h.shrink != 1) + ["context"] * h.from_zero
    found += ["outer-decay"] * bool(h.outer_decay) + ["outer-clipping"] * bool(h.outer_clip)
    if h.steps and h.rate_per != ("given" if expected.gives_rates else "") and "inner-rate" not in found:
        found.append("inner-rate")
    found += ["regularization"] * bool(h.strengths and h.algorithm != "imaml")
    pulled = h.proximal and h.algorithm != "imaml" and "sigma" not in expected.given
    unlike = h.rule != PLAIN or h.decay != 0 or pulled
    found += ["inner-optimizer"] * bool(unlike and h.steps)
    found += ["leaf-frozen"] * bool(h.frozen and not h.from_zero)
    found += ["leaf-exchanged"] * bool(h.inner_swap or h.swaps or h.transposed)
    if h.algorithm == "imaml":
        found += _of_imaml(h, expected)
    return tuple(found)


def _of_imaml(h: Hypothesis, expected: Expectation) -> list[str]:
    found = ["proximal-missing"] * (not h.proximal)
    if (
        expected.strength is not None
        and "sigma" not in expected.given
        and abs(h.strength - expected.strength) > SAME_NUMBER * expected.strength
    ):
        found.append("regularization")
    found += ["operator"] * (h.operator != (1.0, 1.0)) + ["block-diagonal"] * (h.blocks != "full")
    found += ["regularization"] * bool(h.strengths and "regularization" not in found)
    taken = h.solver_steps if h.solver == "conjugate gradients" else 0
    claimed = 0 if expected.algorithm == "imaml" and expected.cg_steps is None else expected.cg_steps
    unlike = claimed is not None and taken != claimed
    found += ["solver"] * bool(h.solver not in ("exact", "conjugate gradients") or unlike)
    return found
