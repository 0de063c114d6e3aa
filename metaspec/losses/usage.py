"""Leaves whose gradient is exactly zero: are they unused, taken out of the derivative, or in a flat place?"""

from collections.abc import Iterator

import numpy as np

from metaspec.losses import finding_messages
from metaspec.losses.findings import LossFinding
from metaspec.losses.points import Evaluator, Sample, Vector, direction, moved

NEAR, FAR = 2.0**-6, 2.0  # shifts in units of a leaf's magnitude
ROUNDINGS = 1000  # roundoffs by which a value may change where a leaf cancels out


def unused(at: Evaluator, x: Vector, sample: Sample, scale: list[float], names: list[str]) -> Iterator[LossFinding]:
    """Yield the findings on leaves with a zero gradient; it takes two or three evaluations where there are such."""
    still = [leaf.size > 0 and not np.any(leaf) for leaf in sample.gradient]
    if not any(still):
        return
    drawn = direction(x, scale, seed=2)
    shift = [leaf if zero else np.zeros_like(leaf) for leaf, zero in zip(drawn, still, strict=True)]
    leaves = [name for name, zero in zip(names, still, strict=True) if zero]
    everything = all(zero or leaf.size == 0 for zero, leaf in zip(still, sample.gradient, strict=True))

    def depends(t: float) -> bool:
        value = _value(at, moved(x, t, shift))
        return not abs(value - sample.value) <= ROUNDINGS * at.roundoff * max(abs(value), abs(sample.value))

    if depends(NEAR):
        yield finding_messages.detached(leaves, everything)
    elif depends(FAR) or (everything and depends(np.nan)):  # what is computed with NaN is NaN, though it cancels out
        yield finding_messages.flat(leaves, everything)
    else:
        yield finding_messages.ignores_params() if everything else finding_messages.unused_leaf(leaves)


def _value(at: Evaluator, x: Vector) -> float:
    try:
        return at.value(x)
    except Exception:  # far from the parameters a loss may not be defined
        return float("nan")
