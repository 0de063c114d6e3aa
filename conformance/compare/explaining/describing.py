"""What can be said of a difference that nothing explains."""

import numpy as np

from metaspec.conformance.compare.explaining.case import Case
from metaspec.conformance.compare.judging import flattened
from metaspec.conformance.compare.stages import DELTA, GRADIENT, LOSS, PARAMETERS, PRODUCT, QUERY_GRADIENT

WHERE = {
    PARAMETERS: "the parameters differ before anything is computed",
    LOSS: "the values differ already: it is another function",
    GRADIENT: "the values agree and the gradients do not: a derivative that is stopped, cut off or written by hand",
    PRODUCT: "values and gradients agree, second derivatives do not: a derivative rule that cannot be differentiated",
    DELTA: "everything agrees that the meta-gradient is made of, but not the meta-gradient",
}
LATER = "at the given parameters everything agrees, further along the inner loop it does not"


def describe(case: Case) -> tuple[str, ...]:
    """At which order the two differ, and how their gradients lie to each other."""
    own = case.bench.values(case.side, [case.own])[0]
    other = case.bench.truth(case.other)
    said = [WHERE.get(case.stage, LATER)]
    for stage in (GRADIENT, QUERY_GRADIENT, DELTA):
        g, r = flattened(own[stage]).astype(float), flattened(other[stage]).astype(float)
        if np.all(np.isfinite(g)) and np.all(np.isfinite(r)) and np.any(g) and np.any(r):
            sizes = float(np.linalg.norm(g)), float(np.linalg.norm(r))
            cosine = float(g @ r) / sizes[0] / sizes[1]
            said.append(f"its {stage} is {sizes[0] / sizes[1]:.6g} times as long, cosine {cosine:.6f}")
    return tuple(said)
