"""What a comparison found, as plain data."""

import math
from dataclasses import dataclass
from typing import Any

import metaspec
from metaspec_conformance.compare.comparison_verdicts import Cells, LeafComparison, agree, parting
from metaspec_conformance.compare.explaining.case import CONSISTENT, Explanation, Tried


@dataclass(frozen=True)
class SideReport:
    """One side.

    Attributes:
        name: What it is called.
        backend: On which backend.
        loss: Where its loss is.
        versions: What its numbers depend on.
        cells: By stage and leaf; of the side that the others are held against there are none.
        explanations: Why it parts.
        tried: What was tested to find that out.
        remarks: What can be said of it where it is not explained.
    """

    name: str
    backend: str
    loss: str
    versions: dict[str, str]
    cells: Cells
    explanations: tuple[Explanation, ...] = ()
    tried: tuple[Tried, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether no difference is beyond rounding."""
        return agree(self.cells)

    @property
    def parting(self) -> tuple[str, str] | None:
        """The first stage with a difference beyond rounding, and the leaf that is furthest off."""
        return parting(self.cells)

    @property
    def explained(self) -> bool:
        """Whether the cause was found: taken away, everything agreed."""
        return any(explanation.confirmed for explanation in self.explanations)

    @property
    def sentence(self) -> str:
        """What there is to say of it, in one sentence."""
        found = self.parting
        if found is None:
            return f"{self.name} agrees{f', to {self.fewest:.1f} digits at least' if self.cells else ''}"
        stage, leaf = found
        cell = self.cells[stage][leaf]
        where = stage if leaf == "loss" else f"{stage}, {leaf}"
        what = (
            "NaN or infinity"
            if not cell.finite
            else "not zero, where the other is exactly zero"
            if math.isinf(cell.relative)
            else f"{cell.digits:.1f} digits agree, {cell.expected_digits:.1f} have to"
        )
        return f"{self.name} parts at {where}: {what}; {self.reason}"

    @property
    def reason(self) -> str:
        """Why it parts, as far as that was found."""
        if not self.explanations:
            return "; ".join(["none of the explanations that were tested explains it", *self.remarks])
        text = ", and ".join(explanation.sentence for explanation in self.explanations)
        if self.explained:
            return f"explained by: {text}"
        if self.explanations[-1].kind in CONSISTENT:
            return f"consistent with: {text}"
        return f"in part explained by: {text}; the rest is not explained"

    @property
    def fewest(self) -> float:
        """The fewest digits that a leaf has in common."""
        return min((cell.digits for leaves in self.cells.values() for cell in leaves.values()), default=0.0)


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        sides: In the order given.
        against: What they were held against: "extended precision", or the first side's name.
        stages: In the order in which they are computed.
        leaves: The parameters' common names, in order.
        dtype: The format compared.
        algorithm: What was computed, as Python writes it.
        notes: What else there is to know, e.g. why there is no reference.
        missing: Sides that were not compared, because a KeyboardInterrupt came before.
    """

    sides: tuple[SideReport, ...]
    against: str
    stages: tuple[str, ...]
    leaves: tuple[str, ...]
    dtype: str
    algorithm: str
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def agreed(self) -> bool:
        """Whether every side was compared, and none parts beyond rounding."""
        return not self.missing and all(side.agrees for side in self.sides)

    @property
    def summary(self) -> str:
        """The answer in one sentence per side that parts, or in one for all."""
        parted = [side.sentence for side in self.sides if not side.agrees]
        if self.missing:
            parted.append(f"interrupted before {', '.join(self.missing)} could be compared")
        if parted:
            return ". ".join(parted) + "."
        fewest = min((side.fewest for side in self.sides if side.cells), default=0.0)
        names = ", ".join(side.name for side in self.sides)
        verb = "agree" if len(self.sides) > 1 else "agrees"
        return f"{names} {verb} at every stage, to {fewest:.1f} digits at least ({self.dtype}, against {self.against})."

    def side(self, name: str) -> SideReport:
        """The side of that name.

        Raises:
            KeyError: There is none.
        """
        found = [side for side in self.sides if side.name == name]
        if not found:
            raise KeyError(f"no side {name!r}; there are {', '.join(side.name for side in self.sides)}")
        return found[0]

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "metaspec": metaspec.__version__,
            "agreed": self.agreed,
            "summary": self.summary,
            "against": self.against,
            "dtype": self.dtype,
            "algorithm": self.algorithm,
            "stages": list(self.stages),
            "leaves": list(self.leaves),
            "notes": list(self.notes),
            "missing": list(self.missing),
            "sides": [_side(side) for side in self.sides],
        }


def _side(side: SideReport) -> dict[str, Any]:
    found = side.parting
    return {
        "name": side.name,
        "backend": side.backend,
        "loss": side.loss,
        "versions": side.versions,
        "agrees": side.agrees,
        "sentence": side.sentence,
        "parts_at": None if found is None else {"stage": found[0], "leaf": found[1]},
        "explained": side.explained,
        "explanations": [vars(explanation) for explanation in side.explanations],
        "remarks": list(side.remarks),
        "tested": [vars(tried) for tried in side.tried],
        "cells": {stage: {name: _cell(cell) for name, cell in leaves.items()} for stage, leaves in side.cells.items()},
    }


def _cell(cell: LeafComparison) -> dict[str, Any]:
    figures = {**vars(cell), "digits": cell.digits, "expected_digits": cell.expected_digits, "agrees": cell.agrees}
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
