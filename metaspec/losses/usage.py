"""Leaves whose gradient is exactly zero: are they unused, taken out of the derivative, or in a flat place?"""

from collections.abc import Iterator

import numpy as np

from metaspec.losses import messages
from metaspec.losses.findings import Finding
from metaspec.losses.points import Evaluator, Sample, Vector, direction, moved

NEAR, FAR = 2.0**-6, 2.0  # shifts in units of a leaf's magnitude


def unused(at: Evaluator, x: Vector, sample: Sample, scale: list[float], names: list[str]) -> Iterator[Finding]:
    """Yield what is to be said of leaves with a zero gradient: two evaluations where there are any, else none."""
    still = [leaf.size > 0 and not np.any(leaf) for leaf in sample.gradient]
    if not any(still):
        return
    shift = [
        leaf if zero else np.zeros_like(leaf) for leaf, zero in zip(direction(x, scale, seed=2), still, strict=True)
    ]
    near, far = (_value(at, moved(x, t, shift)) != sample.value for t in (NEAR, FAR))
    leaves = [name for name, zero in zip(names, still, strict=True) if zero]
    everything = all(zero or leaf.size == 0 for zero, leaf in zip(still, sample.gradient, strict=True))
    if near:
        yield messages.detached(leaves, everything)
    elif far:
        yield messages.flat(leaves, everything)
    else:
        yield messages.ignores_params() if everything else messages.unused_leaf(leaves)


def _value(at: Evaluator, x: Vector) -> float:
    try:
        return at.value(x)
    except Exception:  # far from the parameters a loss may not be defined
        return float("nan")
