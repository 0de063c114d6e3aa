"""What is kept of a soak: counts, histograms and extremes, of constant size however long it runs."""

import heapq
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec_conformance.judging.verdicts import Outcome

PER_UNIT = 50  # bins of the histogram per unit of roundoff times amplification
BINS = 40 * PER_UNIT  # beyond 40 units: the last bin
KEPT = 20
QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)


@dataclass
class Tally:
    """One backend and format.

    Attributes:
        counts: Scenarios by how they ran, "eager" and "compiled".
        histogram: Of the scenarios' worst errors.
        worst: (error, scenario, leaf, amplification), the largest.
        failures: How many; `messages` has the first.
        headroom: The least tolerance / error.
    """

    counts: dict[str, int] = field(default_factory=lambda: {"eager": 0, "compiled": 0})
    histogram: Any = field(default_factory=lambda: np.zeros(BINS + 1, dtype=int))
    worst: list[tuple[float, str, str, float]] = field(default_factory=list)
    failures: int = 0
    messages: list[str] = field(default_factory=list)
    headroom: float = math.inf
    digits: float = math.inf
    seconds: float = 0.0

    def add(self, outcome: Outcome, how: str) -> None:
        """Count one scenario."""
        self.counts[how] += 1
        self.seconds += outcome.seconds
        if not outcome.passed:
            self.failures += 1
            self.messages += [f"{outcome.scenario} ({how}): {outcome.message}"] if self.failures <= KEPT else []
        if outcome.worst is None:
            return
        error = outcome.worst.error
        self.histogram[BINS if not error < BINS / PER_UNIT else int(error * PER_UNIT)] += 1
        self.headroom = min(self.headroom, outcome.worst.tolerance / error if error else math.inf)
        self.digits = min(self.digits, math.inf if outcome.digits is None else outcome.digits)
        heapq.heappush(self.worst, (error, outcome.scenario, outcome.worst.leaf, outcome.worst.amplification))
        if len(self.worst) > KEPT:
            heapq.heappop(self.worst)

    def quantile(self, q: float) -> float:
        """The upper edge of the bin that has it."""
        seen = np.cumsum(self.histogram)
        return float((np.searchsorted(seen, q * seen[-1]) + 1) / PER_UNIT)

    def as_json(self) -> dict[str, Any]:
        """Plain data; the histogram up to its last filled bin."""
        filled = np.flatnonzero(self.histogram)
        return {
            **self.counts,
            "failures": self.failures,
            "messages": self.messages,
            "quantiles": {str(q): self.quantile(q) for q in QUANTILES} if len(filled) else {},
            "worst": [list(entry) for entry in sorted(self.worst, reverse=True)],
            "headroom": _finite(self.headroom),
            "digits": _finite(self.digits),
            "seconds": round(self.seconds, 1),
            "per_unit": PER_UNIT,
            "histogram": self.histogram[: filled[-1] + 1].tolist() if len(filled) else [],
        }


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
