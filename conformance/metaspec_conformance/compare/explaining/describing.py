"""What can be said of a difference that nothing explains."""

import numpy as np

from metaspec_conformance.compare.comparison_verdicts import flattened
from metaspec_conformance.compare.explaining.case import ExplanationCase
from metaspec_conformance.compare.stages import DELTA, GRADIENT, LOSS, PARAMETERS, PRODUCT, QUERY_GRADIENT

WHERE = {
    PARAMETERS: "the parameters differ before anything is computed",
    LOSS: "the values differ already: it is another function",
    GRADIENT: "the values agree and the gradients do not: a derivative that is stopped, cut off or written by hand",
    PRODUCT: "values and gradients agree, second derivatives do not: a derivative rule that cannot be differentiated",
    DELTA: "everything agrees that the meta-gradient is made of, but not the meta-gradient",
}
NEAR = 1e-3  # to 1: from here on the difference from 1 is what is said
ROUNDING = 1e-15  # of the lengths, which are computed in float64
LATER = "at the given parameters everything agrees, further along the inner loop it does not"


def describe(case: ExplanationCase) -> tuple[str, ...]:
    """At which order the two differ, and how their gradients lie to each other."""
    own = case.context.values(case.side, [case.own])[0]
    other = case.context.truth(case.other)
    said = [WHERE.get(case.stage, LATER)]
    for stage in (GRADIENT, QUERY_GRADIENT, DELTA):
        g, r = flattened(own[stage]).astype(float), flattened(other[stage]).astype(float)
        if np.all(np.isfinite(g)) and np.all(np.isfinite(r)) and np.any(g) and np.any(r):
            sizes = float(np.linalg.norm(g)), float(np.linalg.norm(r))
            apart = float(np.sum((g / sizes[0] - r / sizes[1]) ** 2)) / 2
            said.append(f"its {stage} is {_length(sizes[0] / sizes[1])} times as long, cosine {_cosine(apart)}")
    return tuple(said)


def _length(ratio: float) -> str:
    """Close to 1 by the difference from it."""
    difference = ratio - 1
    if abs(difference) >= NEAR:
        return f"{ratio:.6g}"
    return "1" if abs(difference) < ROUNDING else f"1 {'+' if difference > 0 else '-'} {abs(difference):.2g}"


def _cosine(apart: float) -> str:
    """The cosine c from 1 - c, which half the square of the distance of two unit vectors gives without cancellation."""
    if apart >= NEAR:
        return f"{1 - apart:.6f}"
    return "1" if apart < ROUNDING**2 else f"1 - {apart:.2g}"
