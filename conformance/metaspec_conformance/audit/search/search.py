"""The simplest explanations of what was seen: claims first, then single deviations, then pairs, best first."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.expectation import Expectation, deviations
from metaspec_conformance.audit.hypotheses.free_structures import Structure, freed, vectors
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, without_idle_steps
from metaspec_conformance.audit.hypotheses.moves import Move, moves
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.search.fitting import (
    Fit,
    SearchTarget,
    evaluate,
    fit_numbers,
    grid_search,
    observed,
    predicted,
)
from metaspec_conformance.audit.search.number_formats import adjusted
from metaspec_conformance.audit.search.starting_points import bases, starts, unknown
from metaspec_conformance.audit.thresholds import AFTER_A_FIT, BLOCK, CANDIDATES, LOST_DIGITS, PROMISING

LEVELS = 6


@dataclass
class Search:
    """What was tried, and with which success.

    Attributes:
        targets: What was seen.
        expected: The claim and the settings.
        screen: The residual at or below which a hypothesis is a candidate.
        until: When to stop, on `time.process_time`'s clock.
    """

    targets: Sequence[SearchTarget]
    expected: Expectation
    screen: float
    until: float
    tried: dict[Hypothesis, Fit] = field(default_factory=dict)
    stopped: bool = False

    def run(self, number: int) -> None:
        """Try one level: claims, deviations, those with free numbers, with many, pairs, pairs with free numbers."""
        levels = (
            self._claims,
            self._singles,
            self._single_fits,
            self._vectors,
            self._pairs,
            self._pair_fits,
        )
        after = 0
        for fit in levels[number]():
            self.tried[fit.hypothesis] = fit
            after += fit.residual <= self.screen or after > 0
            if after > AFTER_A_FIT:
                return
            if time.process_time() > self.until:
                self.stopped = not self.candidates()
                break
        if not self.candidates():
            self._adjust_numbers()

    def _adjust_numbers(self) -> None:
        """Try the simplest of those that leave little with numbers in another format."""
        near = sorted((fit for fit in self.tried.values() if fit.residual <= LOST_DIGITS), key=self.rank)
        for fit in near[:CANDIDATES]:

            def predict(h: Hypothesis, outer_sum: bool = fit.outer_sum) -> Vector:
                return predicted(h, outer_sum, self.targets)

            h = adjusted(fit.hypothesis, predict, observed(self.targets), self.screen)
            if h is not None:
                self.tried[h] = evaluate(h, self.targets)

    def candidates(self) -> list[Fit]:
        """Return the hypotheses that fit, the simplest first."""
        fits = [fit for fit in self.tried.values() if fit.residual <= self.screen]
        return sorted(fits, key=lambda fit: (self.rank(fit), fit.residual))

    def nearest(self, count: int) -> list[Fit]:
        """Return the hypotheses that come closest, whether they fit or not."""
        return sorted(self.tried.values(), key=lambda fit: (fit.residual, self.cost(fit)))[:count]

    def cost(self, fit: Fit) -> int:
        """Return the number of deviations of a hypothesis from the claimed algorithm."""
        objective = self.targets[0].predictor.objective
        return len(deviations(fit.hypothesis, self.expected, objective.entries(0))) + fit.outer_sum

    def rank(self, fit: Fit) -> tuple[int, int, int]:
        """Return the order of a hypothesis among those that fit: its cost, then its deviations from its own algorithm.

        Of equal costs, another algorithm in its textbook form therefore comes before an altered one.

        Lost digits hide a fitted number that is all but nothing, such as a factor of 1e-7 on the second-order terms.
        """
        unclaimed = replace(self.expected, algorithm=None)
        objective = self.targets[0].predictor.objective
        own = len(deviations(fit.hypothesis, unclaimed, objective.entries(0)))
        return self.cost(fit), fit.hypothesis.freedom, own

    def _bases(self) -> Iterator[Hypothesis]:
        return bases(self.expected, self.targets[0].predictor.objective.joins)

    def _largest(self, by: str) -> float:
        """Return the largest norm or entry of a result: what a code that clips has clipped it to."""
        size = np.linalg.norm if by == "norm" else lambda v: np.max(np.abs(v))
        return float(max(size(target.delta) for target in self.targets)) / (self.expected.factor or 1)

    def _evaluated(self, structures: Iterable[Structure], promising: int, apart: int = 3) -> Iterator[Fit]:
        """Each structure with its free numbers; where there are any, those of the most promising are fitted."""
        rough: list[Any] = []
        for h, extra in structures:
            if h.outer_clip:
                h = replace(h, outer_clip=self._largest(h.outer_clip_by))
            own = unknown(h, self.expected)
            free = [*own, *(name for name in extra if name not in own)]
            if not free:
                yield evaluate(h, self.targets, self.screen)
                continue
            points = starts(h, free, self.expected.rate is not None, apart)
            coarse, left = grid_search(h, free, points, self.targets)
            rough.append((left, len(rough), coarse, free))
            yield evaluate(coarse.hypothesis, self.targets) if coarse.residual <= self.screen else coarse
            if len(rough) == BLOCK:
                yield from self._fit_promising(rough, promising)
                rough = []
        yield from self._fit_promising(rough, promising)

    def _fit_promising(self, rough: list[Any], promising: int) -> Iterator[Fit]:
        for residual, _, coarse, free in sorted(rough, key=lambda item: item[:2])[:promising]:
            if residual < PROMISING:
                yield fit_numbers(coarse, free, self.targets)

    def _claims(self) -> Iterator[Fit]:
        for _, group in groupby(self._bases(), key=lambda h: h.steps if self.expected.steps is None else 0):
            yield from self._evaluated(((h, ()) for h in group), 6, 1)
            if self.expected.steps is None and self.candidates():
                return

    def _deviating(self) -> Iterator[tuple[Hypothesis, list[Move]]]:
        objective = self.targets[0].predictor.objective
        known = self.candidates() if self.expected.steps is None else []
        e = self.expected
        implicit = e.algorithm in (None, "imaml") or e.strength is not None
        for h in self._bases():
            if h.algorithm == "imaml" and not implicit:
                continue  # two unknown numbers, and nothing that speaks for it
            if h.solver_steps and self.expected.cg_steps is None and h.algorithm == "imaml":
                continue  # the same structures as of the exact solve, with the solver as a deviation
            if self.expected.steps is None and h.steps > 5:
                continue
            if known and h.steps != known[0].hypothesis.steps:
                continue
            yield h, moves(h, self.expected, objective)

    def _singles(self) -> Iterator[Fit]:
        if self.candidates() and self.expected.rate is None and not self.expected.gives_rates:
            return
        for h, singles in self._deviating():
            yield from self._evaluated(((move(h), ()) for move in singles), 12)

    def _single_fits(self) -> Iterator[Fit]:
        for h, _ in self._deviating():
            yield from self._evaluated(freed(h), 8)

    def _vectors(self) -> Iterator[Fit]:
        objective = self.targets[0].predictor.objective
        for h, _ in self._deviating():
            for structure, names in vectors(h, objective):
                if any(fit.hypothesis.rate_per == structure.rate_per == "step" for fit in self.candidates()):
                    continue  # another start for the same numbers
                for fit in self._evaluated([(structure, names)], 1):
                    simple = without_idle_steps(fit.hypothesis)
                    yield fit if simple is fit.hypothesis else evaluate(simple, self.targets)

    def _pairs(self) -> Iterator[Fit]:
        pairs: list[Any] = []
        for h, singles in self._deviating():
            weighed = [(self._residual(move(h)), move) for move in singles]
            for (r, a), (s, b) in combinations(weighed, 2):
                if a.dimension != b.dimension and not set(a.changes) & set(b.changes):
                    pairs.append((r * s, len(pairs), h, a, b))
        ranked = sorted(pairs, key=lambda pair: pair[:2])
        yield from self._evaluated(((b(a(h)), ()) for _, _, h, a, b in ranked), 12)

    def _pair_fits(self) -> Iterator[Fit]:
        pairs: list[Any] = []
        for h, singles in self._deviating():
            for move in singles:
                for g, names in freed(move(h)):
                    if not any(_field(name) in move.changes for name in names):
                        pairs.append((self._residual(move(h)), len(pairs), g, names))
        ranked = sorted(pairs, key=lambda pair: pair[:2])
        yield from self._evaluated(((g, names) for _, _, g, names in ranked), 12)

    def _residual(self, h: Hypothesis) -> float:
        return self.tried[h].residual if h in self.tried else 1.0


def _field(name: str) -> str:
    field = name.partition("[")[0]
    return {"constants": "rule"}.get(field, field)
