"""The simplest explanations of what was seen: claims first, then single deviations, then pairs, best first."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby
from typing import Any

from metaspec_conformance.audit.hypotheses.expectation import Expectation, deviations
from metaspec_conformance.audit.hypotheses.hypothesis import ALGORITHMS, Hypothesis, canonical
from metaspec_conformance.audit.hypotheses.inner_rules import NORM_CLIPS, PLAIN
from metaspec_conformance.audit.hypotheses.moves import Move, Structure, freed, moves, vectors
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.search.fitting import (
    FEW_NUMBERS,
    Fit,
    SearchTarget,
    evaluate,
    fit_numbers,
    gauss_newton,
    grid_search,
    numbers,
    observed,
    predicted,
)
from metaspec_conformance.audit.search.number_formats import adjusted
from metaspec_conformance.audit.thresholds import AFTER_A_FIT, BLOCK, CANDIDATES, LOST_DIGITS, PROMISING

STEPS = (*range(1, 11), 12, 15, 16, 20, 25, 32, 50)  # where nobody says how many
RATES = tuple(1e-4 * 1.3**i for i in range(45))  # up to about 10
STRENGTHS = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0)
CG_STEPS = (1, 2, 3, 5, 10)
CLIPS = (*NORM_CLIPS, "clipped entries")
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

    def bases(self) -> Iterator[Hypothesis]:
        """The algorithms with the settings that are claimed; a free number stands at 1 or at a guess."""
        e = self.expected
        for steps in (e.steps,) if e.steps is not None else (0, *STEPS):
            for algorithm in ALGORITHMS:
                if steps == 0 and algorithm in ("maml", "reptile"):
                    continue
                counts: Iterable[int] = (0,)
                if algorithm == "imaml":
                    counts = (e.cg_steps,) if e.cg_steps else (0, *CG_STEPS)
                for cg_steps in counts:
                    h = canonical(algorithm, steps, e.rate or 0.1, e.strength or 1.0, cg_steps)
                    if h.inner_data == "both" and not self.targets[0].predictor.objective.joins:
                        h = replace(h, inner_data="support")
                    h = replace(h, rate_per="given") if e.gives_rates else h
                    yield replace(h, proximal=True) if "sigma" in e.given else h
        if e.steps is not None and e.steps > 0:
            yield canonical("fomaml", 0, e.rate or 0.1, e.strength or 1.0)

    def _free(self, h: Hypothesis) -> list[str]:
        known = self.expected.rate is not None or h.rate_per == "given" or h.rate_ratios[1:] or not h.steps
        free = [] if known else ["rate"]
        pulled = h.algorithm == "imaml" and "sigma" not in self.expected.given
        return free + (["strength"] if self.expected.strength is None and pulled else [])

    def _evaluated(self, structures: Iterable[Structure], promising: int) -> Iterator[Fit]:
        """Each structure with its free numbers; where there are any, those of the most promising are fitted."""
        rough: list[Any] = []
        for h, extra in structures:
            free = [*self._free(h), *(name for name in extra if name not in self._free(h))]
            if not free:
                yield evaluate(h, self.targets, self.screen)
                continue
            coarse = grid_search(h, free, _starts(h, free, self.expected.rate is not None), self.targets)
            if coarse.residual < PROMISING and len(free) <= FEW_NUMBERS:
                coarse = gauss_newton(coarse.hypothesis, free, self.targets[:1], 2)
            rough.append((coarse.residual, len(rough), coarse, free))
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
        for _, group in groupby(self.bases(), key=lambda h: h.steps if self.expected.steps is None else 0):
            yield from self._evaluated(((h, ()) for h in group), 6)
            if self.expected.steps is None and self.candidates():
                return

    def _deviating(self) -> Iterator[tuple[Hypothesis, list[Move]]]:
        objective = self.targets[0].predictor.objective
        known = self.candidates() if self.expected.steps is None else []
        for h in self.bases():
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
                yield from self._evaluated([(structure, names)], 1)

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


def _starts(h: Hypothesis, free: Sequence[str], known_rate: bool) -> Iterator[tuple[float, ...]]:
    """The product of the grids of the free fields; the numbers of a tuple start alike."""
    grids: dict[str, Sequence[float]] = {
        "rate": RATES,
        "strength": STRENGTHS,
        "hessian_factor": (-2.0, -0.5, 0.1, 0.5, 1.5, 3.0, 10.0),
        "decay": (1e-3, 1e-1),
        "operator": (-0.5, 0.1, 0.5, 1.5, 4.0),
        "rate_ratios": (1.0,) if known_rate else tuple(x / h.rate for x in RATES[::4]),
        "solver_rate": (0.05, 0.2, 0.5, 0.8),
        "difference": (1e-1, 1e-2, 1e-3),
        "outer_clip": (0.02, 0.1, 0.3, 1.0),
    }
    if h.rate_per in ("geometric", "harmonic"):
        grids["rate_ratios"] = (0.3, 0.5, 0.8, 0.95)
    kinds = list(dict.fromkeys(name.partition("[")[0] for name in free))
    points: list[dict[str, float]] = [{}]
    for kind in kinds:
        grid = grids.get(kind, ())
        if kind == "constants" and len([name for name in free if name.startswith(kind)]) == 1:
            grid = (0.1, 0.5, 0.9) if h.rule.kind not in CLIPS else (0.05, 0.2, 0.5, 1.0, 2.0)
        if kind == "rate" and (len(kinds) > 1 or h.rule != PLAIN):
            grid = grid[::4]
        points = [{**point, kind: x} for point in points for x in grid] if grid else points
    own = dict(zip(free, numbers(h, free), strict=True))
    return (tuple(point.get(name.partition("[")[0], own[name]) for name in free) for point in points)
