"""Scenarios that Hypothesis draws for a run, and programs that show those that fail, shrunk by Hypothesis."""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from metaspec.errors import LibraryMissingError
from metaspec_conformance.generators.snippets import snippet
from metaspec_conformance.generators.structures import ALGORITHMS, FAMILY
from metaspec_conformance.judging.evidence import evidence
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.scenarios.reference import Reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.work_queue import CHECKS
from metaspec_conformance.workers.worker import Worker, WorkerDiedError

PREFIX = "drawn"


class _ExampleFailsError(AssertionError):
    """Tells Hypothesis that an example fails."""


def examples(count: int, seed: int) -> tuple[Scenario, ...]:
    """Return `count` scenarios, the same for the same numbers and version of Hypothesis.

    Raises:
        LibraryMissingError: Hypothesis is not installed.
    """
    found: list[Scenario] = []
    if count:
        _explore(count, seed, found.append)
    return tuple(_named(scenario, f"{PREFIX}-{seed}-{i}") for i, scenario in enumerate(found))


def counterexamples(
    failures: tuple[Outcome, ...], count: int, seed: int, timeout: float, most: int = 3, patience: float = 60.0
) -> Iterator[str]:
    """Yield programs that show the failures among a run's drawn scenarios, the first of each backend and algorithm.

    Args:
        failures: Outcomes that did not pass.
        count: How many scenarios were drawn.
        seed: Seed that they were drawn with.
        timeout: Seconds for one computation.
        most: Greatest number of programs.
        patience: Seconds for shrinking each.
    """
    first: dict[tuple[str, str], Outcome] = {}
    for outcome in failures:
        if outcome.scenario.startswith(f"{PREFIX}-{seed}-"):
            first.setdefault((outcome.backend, outcome.algorithm), outcome)
    for outcome in list(first.values())[:most]:
        yield _counterexample(outcome, count, seed, timeout, patience)


def _explore(count: int, seed: int, check: Callable[[Scenario], None], shrink: bool = False) -> None:
    """Run `check` on drawn scenarios; with `shrink`, on ever simpler ones like the first for which it raises."""
    try:
        import hypothesis

        from metaspec_conformance.strategies import scenarios

        drawing = scenarios(algorithms=(*ALGORITHMS, *FAMILY))
    except ImportError as error:
        raise LibraryMissingError(
            "examples: drawing scenarios needs hypothesis, which is not installed; run: pip install 'metaspec[verify]'"
        ) from error
    generate, shrinking = hypothesis.Phase.generate, hypothesis.Phase.shrink
    settings = hypothesis.settings(
        max_examples=count,
        phases=(generate, shrinking) if shrink else (generate,),
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )

    def run(scenario: Scenario) -> None:
        check(scenario)

    with TemporaryDirectory() as folder:
        hypothesis.configuration.set_hypothesis_home_dir(folder)  # else its caches lie where the command runs
        try:
            hypothesis.seed(seed)(settings(hypothesis.given(drawing)(run)))()
        finally:
            hypothesis.configuration.set_hypothesis_home_dir(None)


def _counterexample(outcome: Outcome, count: int, seed: int, timeout: float, patience: float) -> str:
    end, drawn, index = time.monotonic() + patience, 0, int(outcome.scenario.partition("/")[0].rpartition("-")[2])
    programs: dict[bytes, str] = {}
    shown = ""

    def program(scenario: Scenario, worker: Worker) -> str:
        key = pickle.dumps(scenario)
        if key not in programs:
            named = _named(scenario, outcome.scenario.partition("/")[0])
            programs[key] = _failure(named, outcome, worker, timeout) if time.monotonic() < end else ""
        return programs[key]

    with Worker(f"{CHECKS}:greet", outcome.backend) as worker:

        def check(scenario: Scenario) -> None:
            nonlocal drawn, shown
            drawn += 1
            if drawn <= index:  # of another failure, or sound: the run has told
                return
            if found := program(scenario, worker):
                shown = found  # Hypothesis ends with the simplest
                raise _ExampleFailsError

        with suppress(_ExampleFailsError):
            _explore(count, seed, check, shrink=True)
    return shown or f"# {outcome.scenario} on {outcome.backend}, {outcome.dtype}, passes when it runs by itself"


def _failure(scenario: Scenario, outcome: Outcome, worker: Worker, timeout: float) -> str:
    """Return the program that shows how the scenario fails; empty where it passes, or has no reference."""
    try:
        truth, problem = evidence(scenario)
    except Exception:
        return ""
    if problem or not isinstance(truth, Reference):
        return ""
    try:
        arguments: tuple[Any, ...] = outcome.backend, scenario, outcome.dtype
        result = worker.call(f"{CHECKS}:perform_check", *arguments, timeout=timeout)
        message = judge(outcome.backend, scenario, outcome.dtype, truth, result).message
    except WorkerDiedError as death:
        message = str(death)
    return snippet(scenario, outcome.backend, outcome.dtype, truth, message) if message else ""


def _named(scenario: Scenario, name: str) -> Scenario:
    """Return the scenario with the first part of its id replaced."""
    return replace(scenario, id=f"{name}/{scenario.id.partition('/')[2]}")
