"""The course of an audit: calls, search, combination of the tasks, confirmation, judgement."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.audit_verdicts import judged, spread
from metaspec_conformance.audit.combining import Combined, chained, combined
from metaspec_conformance.audit.confirming import Explanation, confirmed
from metaspec_conformance.audit.expectation import Expectation, deviations, name_of
from metaspec_conformance.audit.fitting import Fit
from metaspec_conformance.audit.harness import Bench, Setup
from metaspec_conformance.audit.hypothesis import canonical
from metaspec_conformance.audit.observing import Failure
from metaspec_conformance.audit.search import LEVELS, Search
from metaspec_conformance.audit.search_targets import Seen, flat, readings, sightings, silent
from metaspec_conformance.audit.state import HOME, Claims, Examined, expectation

AWAY = (
    {"lr": 0.08, "steps": 5, "regularization": 4.0, "cg_steps": 3, "outer_lr": 0.3},
    {"lr": 0.03, "steps": 2, "regularization": 2.0, "cg_steps": 1, "outer_lr": 0.8},
)
SCREENS = {"float64": 1e-9, "float32": 1e-4}
LOOSE = 5e-5  # a residual that arithmetic in float32, or difference quotients, may leave
BUDGET = 12.0  # seconds of computation
COARSE = 3e-2  # the same of formats of two bytes, where the result does not follow small changes
CANDIDATES = 12
SIMPLE = 2  # the last level before pairs; what leaves so little that lost digits explain it is not taken for a pair
NUDGE = 1e-8  # relative change of the parameters that float32 does not see


class FailedError(Exception):
    """The code gave nothing that can be explained."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@dataclass
class Examiner:
    """An audit in progress."""

    bench: Bench
    claims: Claims
    done: Examined = field(default_factory=Examined)
    fresh_module: bool = False

    def run(self) -> Examined:
        """All stages.

        Raises:
            FailedError: The code gave nothing.
        """
        done, whole = self.done, self._whole()
        self._repeats(whole)
        singles = self._singles(whole)
        done.seen = [whole, *singles]
        searched = singles or [whole]
        self._search(searched)
        if done.search is None or not done.fits:
            return done
        if singles and len(whole.setup.tasks) > 1:
            self._combine(whole, singles)
        self._confirm(whole, searched)
        return done

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, setup: Setup) -> Seen:
        observed = self.bench.call(setup, self.fresh_module)
        self.done.calls += 1
        if observed.failure is not None:
            raise FailedError(observed.failure)
        if not np.all(np.isfinite(flat(observed))):
            raise FailedError(Failure("not-finite", f"the result has NaN or infinity at {_said(setup)}"))
        return Seen(setup, observed)

    def _whole(self) -> Seen:
        single = self.bench.signature.single
        tasks = (0,) if single else tuple(range(self.bench.count))
        equal = "stacked" in self.bench.signature.names
        setup = Setup(0, tasks, HOME, equal)
        try:
            return self._call(setup)
        except FailedError as failed:
            if single or equal or not isinstance(self.bench.problem, str):
                raise
            try:
                found = self._call(Setup(0, tasks, HOME, True))
            except FailedError:
                raise failed from None
            self.done.unequal = True
            return found

    def _repeats(self, first: Seen) -> None:
        close = 1e-11 if self.bench.dtype == "float64" else 1e-5
        if spread([flat(first.observed), flat(self._call(first.setup).observed)]) <= close:
            return
        again = []
        for _ in range(2):
            observed = self.bench.call(first.setup, fresh=True)
            self.done.calls += 1
            if observed.failure is not None:
                raise FailedError(observed.failure)
            again.append(flat(observed))
        anew = self.bench.target.reload() is not None
        if anew and spread(again) <= close:
            self.done.state, self.fresh_module = "call-state", True
            return
        self.done.state = "random" if anew or first.observed.drew else "call-state"

    def _singles(self, whole: Seen) -> list[Seen]:
        setup = whole.setup
        if self.bench.signature.single:
            others = [Setup(0, (i,), HOME) for i in range(1, self.bench.count)]
            return [whole, *(self._call(other) for other in others)]
        ragged = isinstance(self.bench.problem, str)  # one task at a time may have any size
        try:
            return [self._call(Setup(0, (i,), HOME, setup.equal and not ragged)) for i in setup.tasks]
        except FailedError as failed:
            self.done.refused = str(failed)
            return []

    # --- search -------------------------------------------------------------------------------------------------------

    def _search(self, seen: Sequence[Seen]) -> None:
        done, until = self.done, time.process_time() + BUDGET
        searches: dict[str, tuple[Search, tuple[int, ...]]] = {}
        for reading in readings(self.bench, seen[0]):
            ignored = silent(self.bench, seen, reading)
            if len(ignored) == len(self.bench.land(seen[0].setup).shapes):
                continue
            given = sightings(self.bench, seen, reading, ignored)
            expected = expectation(self.bench, self.claims, HOME, reading)
            searches[reading] = Search(given, expected, self._screen(seen, reading), until), ignored
        if not searches:
            return
        for level in range(LEVELS if done.state != "random" else SIMPLE):
            for search, _ in searches.values():
                search.run(level)
                if any(search.cost(fit) == 0 for fit in search.candidates()):
                    break
            if any(search.candidates() for search, _ in searches.values()) and level > 0:
                break
            near = min((fit for s, _ in searches.values() for fit in s.nearest(1)), key=lambda fit: fit.residual)
            if time.process_time() > until or (level == SIMPLE and near.residual <= LOOSE):
                break
            if level == SIMPLE and near.residual <= COARSE and self._unmoved(seen[0]):
                done.narrow = True
                break

        def rank(item: tuple[str, tuple[Search, tuple[int, ...]]]) -> tuple[Any, ...]:
            search = item[1][0]
            fits = search.candidates()
            if fits:
                return (0, search.cost(fits[0]))
            return (1, min((fit.residual for fit in search.nearest(1)), default=np.inf))

        done.reading, (done.search, done.ignored) = min(searches.items(), key=rank)
        done.fits = done.search.candidates() or self._loose(done.search)

    def _screen(self, seen: Sequence[Seen], reading: str) -> float:
        narrow = any(name in ("float32", "float16", "bfloat16") for name in seen[0].observed.dtypes)
        screen = SCREENS["float32" if narrow else self.bench.dtype]
        if reading == "params":
            for s in seen:
                delta = s.delta(self.bench, reading)
                unit = 2.0**-24 if narrow or self.bench.dtype == "float32" else 2.0**-53
                size = float(np.linalg.norm(delta)) if delta is not None else 0.0
                screen = max(screen, 64 * unit * float(np.linalg.norm(s.origin(self.bench))) / max(size, 1e-300))
        return min(screen, 1e-2)

    def _loose(self, search: Search) -> list[Fit]:
        """Those near the best, where the best is as near as narrower arithmetic would be."""
        best = min(search.tried.values(), key=lambda fit: fit.residual, default=None)
        if best is None or best.residual > (COARSE if self.done.narrow else LOOSE):
            return []
        near = [fit for fit in search.tried.values() if fit.residual <= (2 if self.done.narrow else 10) * best.residual]
        return sorted(near, key=lambda fit: (search.rank(fit), fit.residual))

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _combine(self, whole: Seen, singles: Sequence[Seen]) -> None:
        done, bench = self.done, self.bench
        total = whole.delta(bench, done.reading)
        assert total is not None
        land = bench.land(whole.setup)
        parts = []
        for seen, task in zip(singles, whole.setup.tasks, strict=True):
            if seen.setup.equal == whole.setup.equal:
                delta = seen.delta(bench, done.reading)
            else:
                delta = self._call(Setup(0, (task,), HOME, whole.setup.equal)).delta(bench, done.reading)
            assert delta is not None
            parts.append(delta)
        sizes = [(land.examples(i, "support"), land.examples(i, "query")) for i in whole.setup.tasks]
        screen = max(1e-7, 100 * done.fits[0].residual)
        done.combined = combined(total, parts, sizes, max(1e-6, 10 * done.fits[0].residual))
        turned = self._call(Setup(0, whole.setup.tasks[1:] + whole.setup.tasks[:1], HOME, whole.setup.equal))
        other = turned.delta(bench, done.reading)
        assert other is not None
        done.order = spread([total, other]) > screen and done.combined.rule not in ("first", "last")
        if done.combined.residual <= screen and not done.order:
            return
        if done.combined.residual <= screen and done.combined.rule in ("weights",):
            return
        self._carried(total, whole)

    def _carried(self, total: Any, whole: Seen) -> None:
        done, land = self.done, self.bench.land(whole.setup)
        phi, fit = self.bench.phi(whole.setup, land), done.fits[0]
        for carried in ("parameters", "path", "updates", "state"):
            said = chained(fit.hypothesis, land, phi, whole.setup.tasks, carried, fit.scale)
            w = float(np.dot(said, total) / np.dot(said, said)) / fit.scale
            if np.linalg.norm(total - w * fit.scale * said) <= 1e-6 * np.linalg.norm(total):
                n = len(whole.setup.tasks)
                rule = "mean" if abs(w * n - 1) < 1e-6 else "sum" if abs(w - 1) < 1e-6 else "constant"
                done.combined = Combined(rule, (w,) * n, 0.0, carried)
                return
        assert done.combined is not None
        done.combined = Combined(None, done.combined.weights, done.combined.residual)

    # --- confirmation -------------------------------------------------------------------------------------------------

    def _confirm(self, whole: Seen, searched: Sequence[Seen]) -> None:
        done, bench = self.done, self.bench
        assert done.search is not None
        unexplained = done.combined is not None and done.combined.rule is None
        tasks = (0,) if unexplained else whole.setup.tasks
        for i, settings in enumerate(AWAY, start=1):
            done.fresh.append(self._call(Setup(i, tasks, settings, whole.setup.equal)))
        screen = max(10 * done.search.screen, 20 * done.fits[0].residual)
        keep = done.search.sightings[0].keep
        how = None if unexplained else done.combined
        factor = "outer_lr" if done.reading == "params" and bench.signature.names & {"outer_lr", "optimizer"} else None
        least: tuple[int, int] | None = None
        for fit in done.fits[:CANDIDATES]:
            rank = done.search.rank(fit)
            if least is not None and rank > least:
                break
            found = confirmed(
                bench,
                fit,
                how,
                searched[0].setup,
                done.fresh,
                done.reading,
                keep,
                bench.signature.names,
                screen,
                factor,
            )
            if found is None:
                continue
            if done.explanation is None:
                done.explanation, least = found, rank
            elif self._codes(fit) != self._codes_of(done.explanation):
                done.others.append(found)
            elif found.residual < 0.01 * done.explanation.residual:
                done.explanation = found  # the same deviations with numbers that fresh problems bear out
        if done.explanation is not None:
            self._judge(done.explanation, [s for s in (done.fresh[0], whole) if not unexplained or s is not whole])
            done.twins = self._twins(done.explanation)
            if any(j.format != bench.dtype for j in done.judgements):
                done.narrow = self._is_narrow(done.explanation, done.fresh[0])

    def _codes(self, fit: Fit) -> tuple[str, ...]:
        assert self.done.search is not None
        return deviations(fit.hypothesis, self.done.search.expected)

    def _codes_of(self, explanation: Explanation) -> tuple[str, ...]:
        assert self.done.search is not None
        return deviations(explanation.ruled.hypothesis, self.done.search.expected)

    def _judge(self, explanation: Explanation, calls: Sequence[Seen]) -> None:
        done, bench = self.done, self.bench
        for seen in calls:
            delta, reading = seen.delta(bench, done.reading), done.reading

            def compute(seed: int | None, seen: Seen = seen) -> Any:
                land = bench.exact(seen.setup, seed)
                said = explanation.said(seen.setup, land, bench.phi(seen.setup, land))
                for leaf in done.ignored:
                    said[land.slices[leaf]] = 0
                return said

            assert delta is not None
            land = bench.land(seen.setup)
            said = compute(None)
            length = np.sum(said * said)
            exact = np.sum(said * delta) / length if length else np.longdouble(1)

            def scaled(seed: int | None, factor: Any = exact, make: Any = compute) -> Any:
                return factor * make(seed)

            origin = seen.origin(bench) if reading == "params" else None
            done.judgements.append(judged(delta, scaled, land, bench.dtype, origin, bench.confirms))

    def _unmoved(self, seen: Seen) -> bool:
        """Whether the result is the same to the last bit after a small change of the parameters."""
        if self.done.state or self.bench.dtype != "float64":
            return False
        nudged = self._call(replace(seen.setup, nudge=NUDGE))
        return seen.observed.reading != "params" and bool(np.array_equal(flat(nudged.observed), flat(seen.observed)))

    def _is_narrow(self, explanation: Explanation, seen: Seen) -> bool:
        """Narrow arithmetic does not see a small change of the parameters; a difference quotient follows it."""
        bench, reading = self.bench, self.done.reading
        nudged = self._call(replace(seen.setup, nudge=NUDGE))
        after, before = nudged.delta(bench, reading), seen.delta(bench, reading)
        assert after is not None
        assert before is not None
        land, phi = bench.land(seen.setup), bench.phi(seen.setup, bench.land(seen.setup))
        said = explanation.said(seen.setup, land, phi * (1 + NUDGE)) - explanation.said(seen.setup, land, phi)
        return float(np.linalg.norm(after - before - said)) > 0.5 * float(np.linalg.norm(said))

    def _twins(self, explanation: Explanation) -> tuple[str, ...]:
        """Other algorithms, without any deviation, that explain what was searched as well."""
        search = self.done.search
        assert search is not None
        own = explanation.ruled.hypothesis
        free = Expectation(
            None, search.expected.steps, search.expected.rate, search.expected.strength, search.expected.cg_steps
        )
        if name_of(own) == "gradient" or deviations(own, free):
            return ()
        found = []
        for fit in search.candidates():
            h = fit.hypothesis
            plain = canonical(h.algorithm, h.steps, h.rate, h.strength, h.solver_steps)
            if h.algorithm != own.algorithm and h == plain and not deviations(h, free) and h.steps == own.steps:
                found.append(name_of(h))
        return tuple(sorted(set(found)))


def _said(setup: Setup) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in setup.settings.items())
