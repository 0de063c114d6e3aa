"""What a random result estimates: the algorithm that the mean of many calls agrees with, within its standard error.

Evolution strategies, products with random vectors and tasks drawn at random have no meta-update of their own to
explain; their mean has. Of the algorithms as they are written, one has to agree with the mean of the calls, and all
others have to lie outside of its standard error.
"""

import time
from dataclasses import dataclass

import numpy as np

from metaspec_conformance.audit.audit_state import AuditState, Claims, RandomEstimate, expectation
from metaspec_conformance.audit.calls.counted_calls import Caller, ObservedCall
from metaspec_conformance.audit.hypotheses.expectation import name_of
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.search.search_targets import readings, search_targets
from metaspec_conformance.audit.search.starting_points import bases, unknown
from metaspec_conformance.audit.thresholds import (
    EQUAL_CALLS,
    FIT_SETTINGS,
    MEAN_AGREES,
    MEAN_DIFFERS,
    MEAN_SECONDS,
    SHOWN_STANDARD_ERROR,
    TOLD_STANDARD_ERROR,
)

FIRST_LOOK = 32  # calls; then at twice as many
STEPS = 5  # the largest number of inner steps that is tried where nobody says how many


@dataclass
class _Mean:
    """A running mean with its standard error, by Welford's recurrence."""

    count: int = 0
    value: Vector | float = 0.0
    squares: Vector | float = 0.0

    def add(self, x: Vector) -> None:
        self.count += 1
        off = x - self.value
        self.value = self.value + off / self.count
        self.squares = self.squares + off * (x - self.value)

    @property
    def spread(self) -> float:
        """The standard deviation of one call's result, as the length of a vector."""
        return float(np.sqrt(np.sum(self.squares) / (self.count - 1)))

    @property
    def error(self) -> float:
        """The standard error of the mean, as the length of a vector."""
        return self.spread / float(np.sqrt(self.count))


def estimate(caller: Caller, claims: Claims, state: AuditState, whole: ObservedCall) -> RandomEstimate | None:
    """Return what the mean of many calls agrees with; None where that is none of the algorithms as they are written.

    Raises:
        FailedError: A call gave nothing.
    """
    reading = state.reading if state.search is not None else readings(caller.harness, whole)[0]
    (target,) = search_targets(caller.harness, [whole], reading, ())
    e = expectation(caller.harness, claims, FIT_SETTINGS, reading)
    predicted: dict[str, list[Vector]] = {}
    for h in bases(e, target.predictor.objective.joins):
        if not unknown(h, e) and h.steps <= max(STEPS, e.steps or 0):
            predicted.setdefault(name_of(h), []).extend(target.predicted(h)[: 1 if h.algorithm == "reptile" else 2])
    mean, until, look = _Mean(), time.process_time() + MEAN_SECONDS, FIRST_LOOK
    while time.process_time() < until:
        delta = caller(whole.inputs).delta(caller.harness, reading)
        assert delta is not None
        mean.add(delta)
        if mean.count == look:
            look *= 2
            if mean.spread <= EQUAL_CALLS[caller.harness.dtype] * float(np.linalg.norm(mean.value)):
                return None  # later calls are alike: something was left behind once, and nothing is random
            near, far = _held_against(mean, predicted)
            told = len(near) + len(far) == len(predicted) and len(near) <= 1
            if told and mean.error <= TOLD_STANDARD_ERROR * float(np.linalg.norm(mean.value)):
                break
    if mean.count < FIRST_LOOK:
        return None
    near, _ = _held_against(mean, predicted)
    size = float(np.linalg.norm(mean.value))
    enough = SHOWN_STANDARD_ERROR if len(predicted) > 1 else TOLD_STANDARD_ERROR
    if not near or mean.error > enough * size:
        return None
    return RandomEstimate(tuple(near), mean.count, mean.error / size, mean.spread / size)


def _held_against(mean: _Mean, predicted: dict[str, list[Vector]]) -> tuple[list[str], list[str]]:
    """Return the algorithms that agree with the mean, and those that differ from it."""
    off = {name: min(_remainder(mean.value, v) for v in vs) / mean.error for name, vs in predicted.items()}
    near = [name for name, x in off.items() if x <= MEAN_AGREES]
    return near, [name for name, x in off.items() if x >= MEAN_DIFFERS]


def _remainder(seen: Vector | float, v: Vector) -> float:
    """Return the length of what a multiple of `v` leaves of the mean."""
    length = float(v @ v)
    return float(np.linalg.norm(seen - (v @ seen / length if length else 0.0) * v))
