"""One side held against what it is compared with, in the problem as given or in a changed one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec.task import Task
from metaspec_conformance.compare.comparison_messages import Stages, Variant
from metaspec_conformance.compare.comparison_verdicts import Cells, Yardstick, combined, held, moved, sizes
from metaspec_conformance.compare.team import Team
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import is_floating, tree_map

REFERENCE = "reference"
SMALL, LARGE = error_model.PERTURBATION, 2.0**-10  # of arithmetic: for slopes, and to tell steps from them
JUMP = 16.0  # a change that grows so much faster than its cause shrinks is that of a step, not of a slope
INPUTS = 2.0**-10  # of parameters and data, where arithmetic itself cannot be perturbed
SEEDS = (1, 2, 3)
ROUNDOFF32 = error_model.ROUNDOFF["float32"]

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ComparisonContext:
    """What comparisons are made with.

    Attributes:
        team: The worker processes.
        baseline: The side that the others are held against where there is no reference in extended precision.
        extended: Whether there is one: the worker `REFERENCE`.
        dtype: The format that is compared.
    """

    team: Team
    baseline: str
    extended: bool
    dtype: str

    @property
    def against(self) -> str:
        """The name of what sides are compared with."""
        return REFERENCE if self.extended else self.baseline

    @property
    def compared_with(self) -> str:
        """What sides are compared with, as a sentence names it."""
        return "the reference" if self.extended else self.baseline

    def cells(self, side: str, own: Variant, other: Variant) -> Cells:
        """The side on its variant against the yardstick on the other.

        Raises:
            ComparisonError: One of the two could not be computed.
        """
        if self.extended:
            requests = [(side, own), *((REFERENCE, variant) for variant in _arithmetics(other))]
            found, *references = self.team.stages(requests)
            return held(found, _extended(references), own.dtype)
        requests = [(side, own), (self.baseline, other)]
        noisy = [*_formats(own), *_formats(other)]
        requests += [(side, variant) for variant in noisy[: len(noisy) // 2]]
        requests += [(self.baseline, variant) for variant in noisy[len(noisy) // 2 :]]
        found, wanted, *rest = self.team.stages(requests)
        return held(found, Yardstick(wanted, _noise(wanted, rest), False), own.dtype)

    def truth(self, other: Variant) -> Stages:
        """The yardstick's values."""
        variant = replace(other, dtype="longdouble") if self.extended else other
        return self.team.stages([(self.against, variant)])[0]

    def values(self, side: str, variants: Sequence[Variant]) -> list[Stages]:
        """Stages of one side, or of what sides are held against."""
        dtype = "longdouble" if side == REFERENCE else None
        return self.team.stages([(side, v if dtype is None else replace(v, dtype=dtype)) for v in variants])


def shaken(variant: Variant, size: float, seed: int) -> Variant:
    """Every entry of parameters, and of floating data, times 1 + size or 1 - size."""
    rng = np.random.default_rng(seed)

    def shake(x: Any) -> Any:
        return x * (1 + size * (2 * rng.integers(0, 2, size=np.shape(x)) - 1)) if is_floating(x) else x

    params = {name: shake(x) for name, x in variant.params.items()}
    return replace(variant, params=params, task=Task(*tree_map(shake, variant.task)))


def _arithmetics(variant: Variant) -> list[Variant]:
    exact = replace(variant, dtype="longdouble")
    small = [replace(exact, rounding=(SMALL, seed)) for seed in error_model.SEEDS]
    return [exact, *small, *(replace(exact, rounding=(LARGE, seed)) for seed in SEEDS)]


def _extended(references: Sequence[Stages]) -> Yardstick:
    exact, rest = references[0], references[1:]
    count = len(error_model.SEEDS)
    slopes = combined(
        moved(exact, rest[:count], SMALL), moved(exact, rest[count:], LARGE), lambda a, b: min(a, JUMP * b)
    )
    return Yardstick(exact, combined(sizes(exact), slopes, max), True)


def _formats(variant: Variant) -> list[Variant]:
    """In float64 and float32 by turns: as it is, then with shaken inputs."""
    rows = [variant, *(shaken(variant, INPUTS, seed) for seed in SEEDS)]
    return [replace(row, dtype=dtype) for row in rows for dtype in ("float64", "float32")]


def _noise(wanted: Stages, answers: Sequence[Stages]) -> Figures:
    """N of a leaf: its size; how far shaken inputs move it, on either side; what float32 adds, on the better side."""
    half = len(answers) // 2
    parts = [_of_one(answers[:half]), _of_one(answers[half:])]
    moves = combined(parts[0][0], parts[1][0], max)
    rounding = combined(parts[0][1], parts[1][1], lambda a, b: min(a, b) or max(a, b))
    return combined(sizes(wanted), combined(moves, rounding, max), max)


def _of_one(answers: Sequence[Stages]) -> tuple[Figures, Figures]:
    wide, narrow = answers[::2], answers[1::2]
    moves = moved(wide[0], wide[1:], INPUTS)
    rounding = moved(wide[0], narrow[:1], ROUNDOFF32)
    for a, b in zip(wide[1:], narrow[1:], strict=True):
        rounding = combined(rounding, moved(a, [b], ROUNDOFF32), max)
    return moves, rounding
