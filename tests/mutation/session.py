"""A pytest session whose tests run many times, each time in a forked child with one mutant."""

import gc
import multiprocessing
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import coverage
import pytest

from . import afresh
from .coverage_map import CoverageMap
from .patching import Effect, living, patch
from .plugin import Failures, FirstFailure, chosen, confine, run
from .population import ROOT, Mutant, modules

FORK = multiprocessing.get_context("fork")
SERVER = multiprocessing.get_context("forkserver")
PATCHED_IN_PART = 3  # exit status: the tests passed, but the change works on import too
LONGEST = 900.0  # seconds; what sleeps for ever uses no CPU time


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        status: "killed", "timeout" (which counts as killed), "survived" or "untested" (no test runs its line).
        by: The test that failed or did not end.
        tests: How many tests see it.
    """

    mutant: Mutant
    status: str
    by: str
    tests: int


class Listener(Protocol):
    """Who hears of the results."""

    def start(self, seconds: Mapping[str, float], failing: Collection[str]) -> None: ...

    def add(self, verdict: Verdict) -> None: ...


class Session:
    """A pytest plugin that takes the place of the loop over the tests."""

    def __init__(
        self,
        mutants: list[Mutant],
        measuring: coverage.Coverage,
        jobs: int,
        listener: Listener,
        cache: Path | None,
        budget: float,
    ) -> None:
        self.mutants, self.measuring, self.jobs = mutants, measuring, jobs
        self.listener, self.cache, self.budget = listener, cache, budget
        self.killers: dict[str, Counter[str]] = defaultdict(Counter)
        self.items: dict[str, pytest.Item] = {}
        self.map = CoverageMap()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self.items = {item.nodeid: item for item in session.items if chosen(item.nodeid)}
        SERVER.set_forkserver_preload(afresh.PRELOADED)
        with tempfile.TemporaryDirectory(prefix="mutation") as folder:
            self.map = self._measured(Path(folder))
            living()  # looked up once, and before the freeze hides them
            gc.freeze()  # or every child would copy all pages to mark what is in them
            self.listener.start(self.map.seconds, self.items.keys() - self.map.seconds)
            waiting, running = iter(self.mutants), list[Iterator[Verdict | None]]()
            while True:
                while len(running) < self.jobs and (mutant := next(waiting, None)):
                    running.append(self._judged(mutant, Path(folder) / str(id(mutant))))
                if not running:
                    return True
                time.sleep(0.005)
                for trial in tuple(running):
                    if verdict := next(trial):
                        running.remove(trial)
                        self._learn(verdict)
                        self.listener.add(verdict)

    def _measured(self, folder: Path) -> CoverageMap:
        """The map; what tests it lacks are run in a child, so that this process stays as an import leaves it."""
        file = folder / "coverage"
        known = CoverageMap.read(self.cache)
        missing = [item for name, item in self.items.items() if name not in known.seconds]
        process = FORK.Process(target=self._measure, args=(known, missing, file))
        process.start()
        self.measuring.stop()
        process.join()
        if self.cache is not None:
            self.cache.write_bytes(file.read_bytes())
        return CoverageMap.read(file).only(self.items)

    def _measure(self, known: CoverageMap, items: list[pytest.Item], file: Path) -> None:
        failures = Failures()
        for item in items:
            item.config.pluginmanager.register(failures)
            self.measuring.switch_context(item.nodeid)
            start = time.process_time()
            run([item])
            known.seconds[item.nodeid] = time.process_time() - start
            item.config.pluginmanager.unregister(failures)
        self.measuring.stop()
        for path in modules():
            known.add(path, self.measuring.get_data())
        known.only(known.seconds.keys() - failures.names).write(file)
        os._exit(0)

    def _judged(self, mutant: Mutant, verdict: Path) -> Iterator[Verdict | None]:
        """Nothing while the mutant is under test, then its verdict."""
        tests = self._ordered(mutant)
        if not tests:
            yield Verdict(mutant, "untested", "", 0)
            return
        source = mutant.source()
        verdict.write_text("import")
        process: Any = FORK.Process(target=self._run, args=(mutant, source, tests, verdict))
        yield from _finished(process)
        if process.exitcode == PATCHED_IN_PART:
            file = str(ROOT / mutant.path)
            process = SERVER.Process(target=afresh.run, args=(file, source, tests, verdict, self.map.seconds))
            yield from _finished(process)
        status = "survived" if process.exitcode == 0 else "killed" if process.exitcode > 0 else "timeout"
        yield Verdict(mutant, status, "" if status == "survived" else verdict.read_text(), len(tests))

    def _run(self, mutant: Mutant, source: str, tests: list[str], verdict: Path) -> None:
        confine()
        effect = patch(mutant, source)
        if effect is Effect.NONE:
            os._exit(PATCHED_IN_PART)
        failing = FirstFailure(verdict, self.map.seconds)
        items = [self.items[test] for test in tests]
        items[0].config.pluginmanager.register(failing)
        run(items)
        os._exit(PATCHED_IN_PART if effect is Effect.PART or self.map.runs_on_import(mutant) else 0)

    def _ordered(self, mutant: Mutant) -> list[str]:
        """Tests that killed neighbours come first, then the quick ones."""
        near, far = self.killers[_near(mutant)], self.killers[mutant.path]
        found = self.map.tests(mutant)
        ordered = sorted(found, key=lambda test: (-near[test], -min(far[test], 1), self.map.seconds[test], test))
        spent = accumulate(self.map.seconds[test] for test in ordered)
        return [
            test for test, total in zip(ordered, spent, strict=True) if total - self.map.seconds[test] < self.budget
        ]

    def _learn(self, verdict: Verdict) -> None:
        if verdict.status == "killed":
            self.killers[_near(verdict.mutant)][verdict.by] += 1
            self.killers[verdict.mutant.path][verdict.by] += 1


def _near(mutant: Mutant) -> str:
    return f"{mutant.path}:{mutant.function}"


def _finished(process: Any) -> Iterator[None]:
    process.start()
    end = time.monotonic() + LONGEST
    while process.is_alive():
        if time.monotonic() > end:
            process.kill()
        yield None
