"""What an explanation is tested on, and what testing it gave."""

from dataclasses import dataclass, replace

from metaspec_conformance.compare.comparison_messages import Until, Variant
from metaspec_conformance.compare.comparison_verdicts import Cells, LeafComparison, agree
from metaspec_conformance.compare.context import ComparisonContext
from metaspec_conformance.compare.stages import GRADIENT, LOSS

UNTIL: dict[str, Until] = {LOSS: "loss", GRADIENT: "gradient"}
"""Up to where a computation has to go to reach a stage."""

ONE_OVER_N, FLOAT32_DIGITS = "one over n", "float32's digits"
CONSISTENT = (ONE_OVER_N, FLOAT32_DIGITS)
"""Kinds whose test cannot take the cause away: what was seen is consistent with it."""


@dataclass(frozen=True)
class ExplanationCase:
    """A side that parts from what it is held against.

    Attributes:
        context: To compute with.
        side: Its name.
        own: The side's variant.
        other: The yardstick's.
        cells: How the two compare.
        stage: Where they part.
        leaf: The leaf that is furthest off there.
    """

    context: ComparisonContext
    side: str
    own: Variant
    other: Variant
    cells: Cells
    stage: str
    leaf: str

    @property
    def cell(self) -> LeafComparison:
        """The cell where they part."""
        return self.cells[self.stage][self.leaf]

    def compared(self, own: Variant, other: Variant) -> Cells:
        """Return the cells of a trial, up to the stage where the two parted if they part there, or before, again.

        Raises:
            ComparisonError: As `ComparisonContext.cells`.
        """
        until = UNTIL.get(self.stage)
        if until is not None:
            short = self.context.cells(self.side, replace(own, until=until), replace(other, until=until))
            if not agree(short):
                return short
        return self.context.cells(self.side, own, other)

    @property
    def same_data(self) -> bool:
        """Whether both have the same task."""
        return self.own.task is self.other.task


@dataclass(frozen=True)
class Proposal:
    """An explanation and the changes that take its cause away: it is right if then the two agree.

    Attributes:
        kind: E.g. "kink".
        sentence: What the difference is.
        test: What is done to find out.
        trials: Pairs of variants (own, other); all have to agree.
        final: Whether it cannot be one of several causes.
        settled: Where the test is another one and has been made: whether it confirmed the explanation.
    """

    kind: str
    sentence: str
    test: str
    trials: tuple[tuple[Variant, Variant], ...] = ()
    final: bool = False
    settled: bool | None = None


@dataclass(frozen=True)
class Tried:
    """An explanation that was tested.

    Attributes:
        kind: E.g. "kink".
        test: What was done.
        outcome: What that gave.
        helped: Whether it is, or is part of, the explanation.
    """

    kind: str
    test: str
    outcome: str
    helped: bool


@dataclass(frozen=True)
class Explanation:
    """What a difference was found to be.

    Attributes:
        kind: E.g. "kink".
        sentence: What it is.
        test: What was done to find out.
        outcome: What that gave.
        confirmed: Whether, its cause (and the causes listed before it) taken away, everything agrees.
    """

    kind: str
    sentence: str
    test: str
    outcome: str
    confirmed: bool
