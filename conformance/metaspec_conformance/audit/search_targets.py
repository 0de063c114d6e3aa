"""From calls to what hypotheses are held against: results read as meta-updates, in every way that they can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.audit.fitting import Sighting
from metaspec_conformance.audit.harness import Bench, Setup
from metaspec_conformance.audit.landscape import Vector
from metaspec_conformance.audit.observing import Observed
from metaspec_conformance.audit.prediction import Predictor


@dataclass(frozen=True)
class Seen:
    """A call and what it gave."""

    setup: Setup
    observed: Observed

    def delta(self, bench: Bench, reading: str) -> Vector | None:
        """The result as a meta-update; None where it cannot be read so."""
        leaves = self.observed.moved if reading == "params" and self.observed.moved else self.observed.result
        if leaves is None:
            return None
        flat = np.concatenate([np.reshape(leaf, -1) for leaf in leaves]).astype(np.float64)
        return self.origin(bench) - flat if reading == "params" else flat

    def origin(self, bench: Bench) -> Vector:
        """The meta-parameters, in the format that went in."""
        phi = bench.phi(self.setup, bench.land(self.setup))
        return phi.astype(bench.dtype).astype(np.float64)


def readings(bench: Bench, seen: Seen) -> tuple[str, ...]:
    """How a result can be read, the likelier first: updated parameters lie near the parameters."""
    observed = seen.observed
    if observed.reading == "auto" and not np.any(flat(observed)):
        return ("meta_gradient",)
    if observed.reading == "auto":
        moved, phi = seen.delta(bench, "params"), seen.origin(bench)
        near = moved is not None and float(np.linalg.norm(moved)) < 0.5 * float(np.linalg.norm(phi))
        return ("params", "meta_gradient") if near else ("meta_gradient", "params")
    if observed.reading == "meta_gradient" and observed.moved is not None:
        return ("meta_gradient", "params")
    return (observed.reading,)


def flat(observed: Observed) -> Vector:
    """Everything that a call gave, as one vector."""
    leaves = [*(observed.result or ()), *(observed.moved or ())]
    return np.concatenate([np.reshape(leaf, -1) for leaf in leaves]).astype(np.float64)


def silent(bench: Bench, seen: Sequence[Seen], reading: str) -> tuple[int, ...]:
    """The leaves whose results are exactly zero in all calls."""
    deltas = [s.delta(bench, reading) for s in seen]
    land = bench.land(seen[0].setup)
    return tuple(
        i
        for i, place in enumerate(land.slices)
        if land.shapes[i] and all(d is not None and not np.any(d[place]) for d in deltas)
    )


def sightings(bench: Bench, seen: Sequence[Seen], reading: str, ignored: Sequence[int]) -> list[Sighting]:
    """What the calls say of one reading, but of the leaves that are silent."""
    found = []
    predictors: dict[int, Predictor] = {}
    for s in seen:
        land = bench.land(s.setup)
        keep: Any = np.ones(land.size, bool)
        for leaf in ignored:
            keep[land.slices[leaf]] = False
        predictor = predictors.setdefault(id(land), Predictor(land, bench.phi(s.setup, land)))
        delta = s.delta(bench, reading)
        assert delta is not None
        found.append(Sighting(predictor, s.setup.tasks, delta, keep))
    return found
