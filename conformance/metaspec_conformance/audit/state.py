"""What an audit is asked, and everything that it found out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metaspec_conformance.audit.audit_verdicts import Judgement
from metaspec_conformance.audit.combining import Combined
from metaspec_conformance.audit.confirming import Explanation
from metaspec_conformance.audit.expectation import Expectation
from metaspec_conformance.audit.fitting import Fit
from metaspec_conformance.audit.harness import Bench
from metaspec_conformance.audit.search import Search
from metaspec_conformance.audit.search_targets import Seen

HOME = {"lr": 0.05, "steps": 3, "regularization": 3.0, "cg_steps": 2, "outer_lr": 0.5}


@dataclass(frozen=True)
class Claims:
    """What the caller says that the code computes, and with which numbers where it is not given them."""

    algorithm: str | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    reduction: str = "mean"


@dataclass
class Examined:
    """Everything that was found out.

    Attributes:
        seen: The calls at home: of all tasks, then of single ones.
        reading: How results are read.
        search: Of the best reading.
        explanation: What explains all calls; None where nothing does.
        others: Other explanations, as simple.
        fits: The candidates of the search, the simplest first.
        judgements: Of the explanation.
        ignored: Leaves that are always zero.
        unequal: Whether tasks of unequal size could not be taken.
        state: "", "call-state" or "random".
        combined: How the tasks are combined.
        order: Whether the order of the tasks changes the result.
        twins: Algorithms that the problem cannot tell from the one found.
        calls: How many there were.
        refused: Why single tasks could not be given.
        narrow: Whether a change of the parameters that a narrower format does not see leaves the result unmoved.
    """

    seen: list[Seen] = field(default_factory=list)
    fresh: list[Seen] = field(default_factory=list)
    reading: str = "meta_gradient"
    search: Search | None = None
    explanation: Explanation | None = None
    others: list[Explanation] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    ignored: tuple[int, ...] = ()
    unequal: bool = False
    state: str = ""
    combined: Combined | None = None
    order: bool = False
    twins: tuple[str, ...] = ()
    calls: int = 0
    refused: str = ""
    narrow: bool = False


def expectation(bench: Bench, claims: Claims, settings: Mapping[str, float], reading: str) -> Expectation:
    """The claim at given settings: what the code is given, else what the caller says."""
    named = bench.signature.names

    def number(name: str) -> Any:
        return settings[name] if name in named else claims.settings.get(name)

    outer = settings["outer_lr"] if named & {"outer_lr", "optimizer"} else claims.settings.get("outer_lr")
    return Expectation(
        claims.algorithm,
        number("steps"),
        number("lr"),
        number("regularization"),
        number("cg_steps"),
        1.0 if reading == "meta_gradient" else outer,
        claims.reduction == "sum",
    )
