"""Results of calls read as meta-updates, in every way in which they can be read: what hypotheses are held against."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaspec_conformance.audit.calls.counted_calls import ObservedCall, flat
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.hypotheses.prediction import Predictor
from metaspec_conformance.audit.search.fitting import SearchTarget


def readings(harness: AuditHarness, call: ObservedCall) -> tuple[str, ...]:
    """Return how a result can be read, the likelier first: updated parameters lie near the parameters."""
    observed = call.observed
    if observed.reading == "auto" and not np.any(flat(observed)):
        return ("meta_gradient",)
    if observed.reading == "auto":
        moved, phi = call.delta(harness, "params"), call.origin(harness)
        near = moved is not None and float(np.linalg.norm(moved)) < 0.5 * float(np.linalg.norm(phi))
        return ("params", "meta_gradient") if near else ("meta_gradient", "params")
    if observed.reading == "meta_gradient" and observed.moved is not None:
        return ("meta_gradient", "params")
    return (observed.reading,)


def zero_leaves(harness: AuditHarness, calls: Sequence[ObservedCall], reading: str) -> tuple[int, ...]:
    """Return the leaves whose results are exactly zero in all calls."""
    deltas = [call.delta(harness, reading) for call in calls]
    objective = harness.objective(calls[0].inputs)
    return tuple(
        i
        for i, place in enumerate(objective.slices)
        if objective.shapes[i] and all(d is not None and not np.any(d[place]) for d in deltas)
    )


def search_targets(
    harness: AuditHarness, calls: Sequence[ObservedCall], reading: str, ignored: Sequence[int]
) -> list[SearchTarget]:
    """Return the calls' results in one reading, without the entries of the leaves in `ignored`."""
    found = []
    predictors: dict[int, Predictor] = {}
    for call in calls:
        objective = harness.objective(call.inputs)
        keep: Any = np.ones(objective.size, bool)
        for leaf in ignored:
            keep[objective.slices[leaf]] = False
        predictor = predictors.setdefault(id(objective), harness.predictor(call.inputs))
        delta = call.delta(harness, reading)
        assert delta is not None
        found.append(SearchTarget(predictor, call.inputs.tasks, delta, keep))
    return found
