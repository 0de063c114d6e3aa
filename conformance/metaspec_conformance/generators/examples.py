"""Drawn scenarios for a run, and what is said of those that fail: the simplest like it, as a program to paste."""

import time
from collections.abc import Iterator
from contextlib import suppress

from metaspec_conformance.generators.choices import at_random, replay
from metaspec_conformance.generators.shrinking import Positions, shrink
from metaspec_conformance.generators.snippets import snippet
from metaspec_conformance.generators.structures import draw_scenario
from metaspec_conformance.judging.evidence import evidence
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.scenarios.reference import Reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.messages import Result
from metaspec_conformance.workers.worker_process import Process, WorkerDiedError

PREFIX = "drawn"


def examples(count: int, seed: int) -> tuple[Scenario, ...]:
    """`count` scenarios, the same for the same seed."""
    return tuple(draw_scenario(at_random(seed, i), _name(seed, i)) for i in range(count))


def counterexamples(
    failures: tuple[Outcome, ...], seed: int, timeout: float, most: int = 3, patience: float = 60.0
) -> Iterator[str]:
    """Programs that show the failures among a run's drawn scenarios, the first of each backend and algorithm.

    Args:
        failures: Of the run.
        seed: That its examples were drawn with.
        timeout: Seconds for one computation.
        most: How many.
        patience: Seconds for shrinking each.
    """
    first: dict[tuple[str, str], Outcome] = {}
    for outcome in failures:
        if outcome.scenario.startswith(f"{PREFIX}-{seed}-"):
            first.setdefault((outcome.backend, outcome.algorithm), outcome)
    for outcome in list(first.values())[:most]:
        index = int(outcome.scenario.partition("/")[0].rpartition("-")[2])
        recorder = at_random(seed, index)
        draw_scenario(recorder)
        yield _counterexample(outcome, tuple(recorder.positions), timeout, patience)


def _counterexample(outcome: Outcome, positions: Positions, timeout: float, patience: float) -> str:
    end = time.monotonic() + patience
    found: dict[Positions, str] = {}
    worker = _Restarting(outcome.backend, timeout)

    def fails(candidate: Positions) -> bool:
        scenario = draw_scenario(replay(candidate), _name_of(outcome))
        program = _failure(scenario, outcome, worker)
        if program:
            found[candidate] = program
        return bool(program)

    def fails_in_time(candidate: Positions) -> bool:
        return time.monotonic() < end and fails(candidate)

    try:
        if not fails(positions):
            return f"# {outcome.scenario} on {outcome.backend}, {outcome.dtype}, passes when it runs by itself"
        return found.get(shrink(positions, fails_in_time), found[positions])
    finally:
        worker.close()


def _failure(scenario: Scenario, outcome: Outcome, worker: "_Restarting") -> str:
    """The program that shows how the scenario fails; empty where it does not, or where there is no reference."""
    try:
        truth, problem = evidence(scenario)
    except Exception:
        return ""
    if problem or not isinstance(truth, Reference):
        return ""
    try:
        found = judge(outcome.backend, scenario, outcome.dtype, truth, worker.ask(scenario, outcome.dtype))
        message = found.message
    except WorkerDiedError as death:
        message = str(death)
    return snippet(scenario, outcome.backend, outcome.dtype, truth, message) if message else ""


class _Restarting:
    """A worker that is started again after its death."""

    def __init__(self, target: str, timeout: float) -> None:
        self._target, self._timeout = target, timeout
        self._process: Process | None = None

    def ask(self, scenario: Scenario, dtype: str) -> Result:
        if self._process is None:
            self._process = Process(self._target)
            self._process.hello()
        try:
            answer: Result = self._process.ask((scenario, dtype), self._timeout)
            return answer
        except WorkerDiedError:
            self.close()
            raise

    def close(self) -> None:
        if self._process is not None:
            with suppress(OSError):
                self._process.close()
            self._process = None


def _name(seed: int, index: int) -> str:
    return f"{PREFIX}-{seed}-{index}"


def _name_of(outcome: Outcome) -> str:
    return outcome.scenario.partition("/")[0]
