"""How far two sides agree, in digits, and how far they should.

A cell is one leaf at one stage. With x the side's leaf and r the yardstick's,

    error = ||x - r|| / (u N),        N = max(||r||, ||r'_s - r|| / size for perturbed r'_s),

u the format's unit roundoff: the error model (docs/error-model.md) with N = A ||r||, which also says how far a leaf may
be off that is zero in exact arithmetic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.compare.comparison_messages import Stages
from metaspec_conformance.compare.layout import Leaves
from metaspec_conformance.judging.error_model import EXTENDED_ROUNDOFF, ROUNDOFF, TOLERANCE, norm


@dataclass(frozen=True)
class LeafComparison:
    """One leaf at one stage.

    Attributes:
        relative: ||x - r|| / ||r||; infinite against an exact zero, or where x is not finite.
        error: In units of roundoff times what roundoff is amplified to.
        tolerance: Up to which error the two agree.
        expected: The relative difference that the tolerance stands for.
        limit: The digits that the format holds.
        finite: Whether both have values.
    """

    relative: float
    error: float
    tolerance: float
    expected: float
    limit: float
    finite: bool = True

    @property
    def agrees(self) -> bool:
        """Whether the difference is one that rounding explains."""
        return self.error <= self.tolerance

    @property
    def digits(self) -> float:
        """Decimal digits that agree."""
        return in_digits(self.relative, self.limit)

    @property
    def expected_digits(self) -> float:
        """Decimal digits that have to agree."""
        return in_digits(self.expected, self.limit)


Cells = dict[str, dict[str, LeafComparison]]
"""By stage, then by leaf."""


@dataclass(frozen=True)
class Yardstick:
    """What a side is held against.

    Attributes:
        stages: The values.
        noise: N by stage and leaf.
        exact: Whether only one of the two has rounding errors, the yardstick being in extended precision.
    """

    stages: Stages
    noise: Mapping[str, Mapping[str, float]]
    exact: bool


def in_digits(relative: float, limit: float) -> float:
    """-log10 of a relative difference, between 0 and the digits that there are."""
    if not relative < math.inf:
        return 0.0
    return min(limit, max(0.0, -math.log10(relative))) if relative > 0 else limit


def held(found: Stages, yardstick: Yardstick, dtype: str) -> Cells:
    """Every leaf of every stage that both have."""
    return {
        stage: {
            name: _cell(found[stage][name], leaf, yardstick.noise[stage][name], ROUNDOFF[dtype], yardstick.exact)
            for name, leaf in leaves.items()
        }
        for stage, leaves in yardstick.stages.items()
        if stage in found
    }


def agree(cells: Cells) -> bool:
    """Whether all cells do."""
    return all(cell.agrees for leaves in cells.values() for cell in leaves.values())


def parting(cells: Cells) -> tuple[str, str] | None:
    """The first stage with a difference beyond rounding, and the leaf that is furthest off there."""
    for stage, leaves in cells.items():
        beyond = {name: cell for name, cell in leaves.items() if not cell.agrees}
        if beyond:
            return stage, max(beyond, key=lambda name: beyond[name].error / beyond[name].tolerance)
    return None


def distance(x: Any, y: Any) -> float:
    """||x - y||; infinite where one is not finite."""
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        return math.inf
    return float(norm(np.asarray(x).astype(np.longdouble) - np.asarray(y).astype(np.longdouble)))


def moved(exact: Stages, perturbed: Sequence[Stages], size: float) -> dict[str, dict[str, float]]:
    """The largest change of each leaf, divided by the size of the perturbation."""
    return {
        stage: {
            name: max(distance(other[stage][name], leaf) for other in perturbed) / size for name, leaf in leaves.items()
        }
        for stage, leaves in exact.items()
    }


def sizes(stages: Stages) -> dict[str, dict[str, float]]:
    """The norm of each leaf."""
    return {stage: {name: _size(leaf) for name, leaf in leaves.items()} for stage, leaves in stages.items()}


def combined(
    one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]], f: Any
) -> dict[str, dict[str, float]]:
    """F of the two figures of each leaf."""
    return {stage: {name: f(x, other[stage][name]) for name, x in leaves.items()} for stage, leaves in one.items()}


def flattened(leaves: Leaves) -> Any:
    """All leaves as one vector, by sorted name."""
    return np.concatenate([np.reshape(np.asarray(leaves[name]).astype(np.longdouble), -1) for name in sorted(leaves)])


def _size(x: Any) -> float:
    size = float(norm(x))
    return size if math.isfinite(size) else math.inf


def _cell(x: Any, r: Any, noise: float, roundoff: float, exact: bool) -> LeafComparison:
    size, difference, limit = _size(r), distance(x, r), -math.log10(roundoff)
    if difference == math.inf:
        return LeafComparison(math.inf, math.inf, TOLERANCE, 0.0, limit, False)
    wide = exact and roundoff / 64 > EXTENDED_ROUNDOFF
    tolerance = TOLERANCE if wide else 2 * TOLERANCE
    noise = noise if math.isfinite(noise) else size
    relative = difference / size if size else 0.0 if difference == 0 else math.inf
    error = difference / (roundoff * noise) if noise else 0.0 if difference == 0 else math.inf
    return LeafComparison(relative, error, tolerance, tolerance * roundoff * noise / size if size else 0.0, limit)
