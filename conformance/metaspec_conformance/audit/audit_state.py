"""What an audit is asked (`Claims`), and everything that it has found so far (`AuditState`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metaspec_conformance.audit.calls.counted_calls import ObservedCall
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.signature import LEARNED
from metaspec_conformance.audit.findings.audit_verdicts import Judgement
from metaspec_conformance.audit.findings.confirming import ConfirmedHypothesis
from metaspec_conformance.audit.hypotheses.combining import Combined
from metaspec_conformance.audit.hypotheses.expectation import Expectation
from metaspec_conformance.audit.hypotheses.family import algorithm_of
from metaspec_conformance.audit.search.fitting import Fit
from metaspec_conformance.audit.search.search import Search


@dataclass(frozen=True)
class Claims:
    """What the caller says that the code computes, with the numbers that the code is not given as arguments."""

    algorithm: str | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    reduction: str = "mean"


@dataclass(frozen=True)
class RandomEstimate:
    """What the mean of a random result agrees with.

    Attributes:
        algorithms: Those that agree with it; several, where it has not been called often enough to tell them apart.
        calls: How many were made.
        error: The relative standard error of their mean.
        spread: The relative standard deviation of one.
    """

    algorithms: tuple[str, ...]
    calls: int
    error: float
    spread: float


@dataclass
class AuditState:
    """Everything that the stages of an audit have found.

    Attributes:
        calls: The calls with FIT_SETTINGS: of all tasks, then of single ones.
        validation_calls: The calls with VALIDATION_SETTINGS.
        reading: How results are read: "meta_gradient" or "params".
        search: The search of the best reading.
        explanation: What explains all calls; None where nothing does.
        others: Other explanations, as simple.
        fits: The candidates of the search, the simplest first.
        judgements: The explanation held against calls by the error model.
        ignored: Leaves whose result is always zero.
        unequal: Whether tasks of unequal sizes raised an error.
        repetition: "", "call-state" or "random": how equal calls differ.
        estimate: What the mean of many calls of random code agrees with.
        combined: How the tasks are combined.
        order_matters: Whether the order of the tasks changes the result.
        indistinguishable: Algorithms that the problem cannot tell from the one found.
        refused: Why single tasks could not be given.
        narrow: Whether the code computes in a narrower format than it was given: the result does not follow a small
            change of the parameters.
    """

    calls: list[ObservedCall] = field(default_factory=list)
    validation_calls: list[ObservedCall] = field(default_factory=list)
    reading: str = "meta_gradient"
    search: Search | None = None
    explanation: ConfirmedHypothesis | None = None
    others: list[ConfirmedHypothesis] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    ignored: tuple[int, ...] = ()
    unequal: bool = False
    repetition: str = ""
    estimate: RandomEstimate | None = None
    combined: Combined | None = None
    order_matters: bool = False
    indistinguishable: tuple[str, ...] = ()
    refused: str = ""
    narrow: bool = False
    switch: tuple[int, str | None] | None = None
    elsewhere: tuple[str, ...] = ()


def expectation(harness: AuditHarness, claims: Claims, settings: Mapping[str, float], reading: str) -> Expectation:
    """Return the claim with its numbers at `settings`: what the code is given, else what the caller says."""
    named = harness.signature.names

    def number(name: str) -> Any:
        return settings[name] if name in named else claims.settings.get(name)

    outer = settings["outer_lr"] if named & {"outer_lr", "optimizer"} else claims.settings.get("outer_lr")
    return Expectation(
        algorithm_of(claims.algorithm),
        number("steps"),
        number("lr"),
        number("regularization"),
        number("cg_steps"),
        1.0 if reading == "meta_gradient" else outer,
        claims.reduction == "sum",
        named & frozenset(LEARNED),
    )
