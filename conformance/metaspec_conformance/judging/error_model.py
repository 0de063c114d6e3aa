"""The error model: how far from the truth a correct implementation may be.

For each leaf of a result, with reference r, result x and unit roundoff u of the format,

    error = ||x - r|| / ||r|| / (u A),      tolerance = 16.

A >= 1 is the amplification: how much larger than u the relative change of r gets when every operation's result, every
gradient's arguments and every step are changed by relative perturbations of size u. It is estimated from the reference
computation alone, never from a result: the largest relative change over a few fixed seeds, divided by the perturbation.
docs/error-model.md says why.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 16.0
PERTURBATION = 2.0**-32  # far above the reference's own roundoff, small enough for the change to be linear in it
SEEDS = (1, 2, 3, 4, 5)  # a leaf of one entry can hardly keep still under all of them

EXTENDED_ROUNDOFF = float(np.finfo(np.longdouble).eps) / 2
ROUNDOFF = {
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "float32": 2.0**-24,
    "float64": 2.0**-53,
    "longdouble": EXTENDED_ROUNDOFF,
}


def tolerance(dtype: str) -> float:
    """16 roundoffs; where the reference's own format is no wider, 16 more for the reference's errors."""
    return TOLERANCE if ROUNDOFF[dtype] / 64 > EXTENDED_ROUNDOFF else 2 * TOLERANCE


def relative_error(x: Any, reference: Any) -> float:
    """||x - r|| / ||r|| in the reference's format; against an exact zero anything but zero is infinitely wrong."""
    if not np.all(np.isfinite(x)):
        return math.inf
    size, difference = norm(reference), norm(np.asarray(x).astype(np.longdouble) - reference)
    if size == 0:
        return 0.0 if difference == 0 else math.inf
    return float(difference / size)


def norm(x: Any) -> Any:
    """The Euclidean norm, scaled so that squares neither over- nor underflow."""
    largest = np.max(np.abs(x), initial=0)
    if largest == 0 or not np.isfinite(largest):
        return np.longdouble(largest)
    y = np.asarray(x).astype(np.longdouble) / largest
    return largest * np.sqrt(np.sum(y * y))


def amplification(reference: Any, perturbed: list[Any]) -> float:
    """The largest relative change that the perturbations made, in units of their size; at least 1."""
    changes = [relative_error(x, reference) / PERTURBATION for x in perturbed]
    return max([1.0, *(change for change in changes if math.isfinite(change))])


def digits(error: float) -> float:
    """The decimal digits that agree: -log10 of the relative error, between 0 and what the reference has."""
    return max(0.0, -math.log10(max(error, EXTENDED_ROUNDOFF)))


@dataclass(frozen=True)
class Measured:
    """One leaf, or one solve, held against its reference.

    `error` and `tolerance` are in units of unit roundoff times `amplification`; `relative` is the plain relative error.
    """

    leaf: str
    error: float
    tolerance: float
    amplification: float
    relative: float
    by_residual: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


def measure(leaf: str, relative: float, amplification: float, dtype: str, by_residual: bool = False) -> Measured:
    """A relative error in the units of the error model."""
    scaled = relative / (ROUNDOFF[dtype] * amplification)
    return Measured(leaf, scaled, tolerance(dtype), amplification, relative, by_residual)
