"""The search stage: every reading of the results is searched level by level, and the best explained one is kept."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaspec_conformance.audit.audit_state import AuditState, Claims, expectation
from metaspec_conformance.audit.calls.counted_calls import Caller, ObservedCall, flat
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.search.fitting import Fit
from metaspec_conformance.audit.search.search import LEVELS, Search
from metaspec_conformance.audit.search.search_targets import readings, search_targets, zero_leaves
from metaspec_conformance.audit.thresholds import (
    FIT_RESIDUAL,
    FIT_RESIDUAL_CAP,
    FIT_SETTINGS,
    LOST_DIGITS,
    LOST_DIGITS_16_BITS,
    NUDGE,
    ORIGIN_ROUNDINGS,
    PROMISING,
)

RANDOM_LEVELS = 1  # of what has noise the algorithms as they are written alone are tried
VECTORS = 3  # what leaves so little after this level that lost digits explain it is not taken for more
NEAR = 0.1  # residual of a reading in which something is near: one of the algorithms leaves less of most code
NARROW_FORMATS = ("float32", "float16", "bfloat16")

Searched = dict[str, tuple[Search, tuple[int, ...]]]
"""By reading: the search, and the leaves that it leaves out."""


def search_readings(
    caller: Caller, claims: Claims, state: AuditState, calls: Sequence[ObservedCall], seconds: float
) -> None:
    """Search the hypotheses that explain `calls`; fills `reading`, `search`, `ignored`, `fits` and `narrow`."""
    until = time.process_time() + seconds
    searches = _searches(caller.harness, claims, calls, until)
    if not searches:
        return
    for level in range(LEVELS if state.repetition != "random" else RANDOM_LEVELS):
        for search, _ in searches.values():
            search.run(level)
            if any(search.cost(fit) == 0 for fit in search.candidates()):
                break
        exact = {
            name: item for name, item in searches.items() if any(item[0].cost(f) == 0 for f in item[0].candidates())
        }
        searches = exact or _likely(searches)
        if any(search.candidates() for search, _ in searches.values()) and level > 0:
            break
        near = min((fit for s, _ in searches.values() for fit in s.nearest(1)), key=lambda fit: fit.residual)
        if time.process_time() > until or (level == VECTORS and near.residual <= LOST_DIGITS):
            break
        two_bytes = level == VECTORS and near.residual <= LOST_DIGITS_16_BITS
        if two_bytes and (caller.harness.autocast or _follows_no_nudge(caller, state, calls[0])):
            state.narrow = True
            break
    state.reading, (state.search, state.ignored) = min(searches.items(), key=_rank)
    state.fits = state.search.candidates() or _with_lost_digits(state.search, state.narrow)


def _searches(harness: AuditHarness, claims: Claims, calls: Sequence[ObservedCall], until: float) -> Searched:
    searches: Searched = {}
    for reading in readings(harness, calls[0]):
        ignored = zero_leaves(harness, calls, reading)
        if len(ignored) == len(harness.objective(calls[0].inputs).shapes):
            continue
        targets = search_targets(harness, calls, reading, ignored)
        expected = expectation(harness, claims, FIT_SETTINGS, reading)
        searches[reading] = Search(targets, expected, _fit_residual(harness, calls, reading), until), ignored
    return searches


def _likely(searches: Searched) -> Searched:
    """Return the searches without those in whose reading nothing is near, where in another one something is."""
    left = {name: min(fit.residual for fit in search.nearest(1)) for name, (search, _) in searches.items()}
    if min(left.values()) > NEAR:
        return searches
    return {name: item for name, item in searches.items() if left[name] < PROMISING}


def _rank(item: tuple[str, tuple[Search, tuple[int, ...]]]) -> tuple[Any, ...]:
    search = item[1][0]
    fits = search.candidates()
    if fits:
        return (0, search.cost(fits[0]))
    return (1, min((fit.residual for fit in search.nearest(1)), default=np.inf))


def _fit_residual(harness: AuditHarness, calls: Sequence[ObservedCall], reading: str) -> float:
    """Return the candidates' residual; larger where results are small differences of parameters."""
    narrow = any(name in NARROW_FORMATS for name in calls[0].observed.dtypes)
    residual = FIT_RESIDUAL["float32" if narrow else harness.dtype]
    if reading == "params":
        for call in calls:
            delta = call.delta(harness, reading)
            unit = 2.0**-24 if narrow or harness.dtype == "float32" else 2.0**-53
            size = float(np.linalg.norm(delta)) if delta is not None else 0.0
            rounded = ORIGIN_ROUNDINGS * unit * float(np.linalg.norm(call.origin(harness)))
            residual = max(residual, rounded / max(size, 1e-300))
    return min(residual, FIT_RESIDUAL_CAP)


def _with_lost_digits(search: Search, narrow: bool) -> list[Fit]:
    """Return the hypotheses near the best one, where that is as near as narrower arithmetic would be."""
    best = min(search.tried.values(), key=lambda fit: fit.residual, default=None)
    if best is None or best.residual > (LOST_DIGITS_16_BITS if narrow else LOST_DIGITS):
        return []
    near = [fit for fit in search.tried.values() if fit.residual <= (2 if narrow else 10) * best.residual]
    return sorted(near, key=lambda fit: (search.rank(fit), fit.residual))


def _follows_no_nudge(caller: Caller, state: AuditState, call: ObservedCall) -> bool:
    """Return whether the result is the same to the last bit after a small change of the parameters."""
    if state.repetition or caller.harness.dtype != "float64":
        return False
    nudged = caller.nudged(call, NUDGE)
    return call.observed.reading != "params" and bool(np.array_equal(flat(nudged.observed), flat(call.observed)))
