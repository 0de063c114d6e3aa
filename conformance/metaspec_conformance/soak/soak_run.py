"""Soak run: groups of scenarios in worker processes, one for the references and one for each backend."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from metaspec_conformance.judging.verdicts import judge
from metaspec_conformance.soak.groups import Made, Plan, plan
from metaspec_conformance.soak.tally import Tally
from metaspec_conformance.workers.messages import Result
from metaspec_conformance.workers.worker import Worker

REFERENCES = "references"
AHEAD = 3  # groups whose references are made before a backend asks for them
GROUPS = "metaspec_conformance.soak.groups"
PATIENCE = 3600.0  # seconds for one group


@dataclass
class Soak:
    """What was found so far.

    Attributes:
        tallies: By backend and format.
        problems: What is wrong with references.
        structures: How many structures were drawn.
        scenarios: How many scenarios have a reference.
        seconds: Since the start.
    """

    tallies: dict[str, dict[str, Tally]]
    problems: list[str] = field(default_factory=list)
    structures: int = 0
    scenarios: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether something ran and all of it agreed."""
        counted = [tally for formats in self.tallies.values() for tally in formats.values()]
        return bool(counted) and not self.problems and not any(tally.failures for tally in counted)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "passed": self.passed,
            "scenarios": self.scenarios,
            "structures": self.structures,
            "seconds": round(self.seconds, 1),
            "reference_problems": self.problems,
            "backends": {
                backend: {dtype: tally.as_json() for dtype, tally in formats.items()}
                for backend, formats in self.tallies.items()
            },
        }


def soak(backends: Sequence[str], scenarios: int, seed: int, at_a_time: int, progress: Callable[[Soak], None]) -> Soak:
    """Run `scenarios` scenarios on each backend.

    Args:
        backends: As `loading.load` takes them.
        scenarios: How many.
        seed: What is drawn depends on it alone.
        at_a_time: How many processes work at a time.
        progress: Called after each group on each backend.

    Returns:
        Soak. After a KeyboardInterrupt: what was found until then.
    """
    found = Soak({backend: {} for backend in backends})
    start = time.perf_counter()
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(at_a_time))
        workers = {name: stack.enter_context(Worker()) for name in (REFERENCES, *backends)}
        to_make = deque(_plans(scenarios, seed))
        to_run: dict[str, deque[Made]] = {backend: deque() for backend in backends}
        running: dict[Future[Any], tuple[str, Any]] = {}

        def start_one() -> bool:
            work = _next(running, to_make, to_run)
            if work is not None:
                name, subject, call = work
                running[threads.submit(workers[name].call, *call, timeout=PATIENCE)] = name, subject
            return work is not None

        try:
            while to_make or running or any(to_run.values()):
                while len(running) < at_a_time and start_one():
                    pass
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name, subject = running.pop(future)
                    if name == REFERENCES:
                        _keep(found, to_run, subject, future)
                    else:
                        _count(found.tallies[name], name, subject, future)
                        found.seconds = time.perf_counter() - start
                        progress(found)
        except KeyboardInterrupt:
            pass
    found.seconds = time.perf_counter() - start
    return found


def _plans(scenarios: int, seed: int) -> Iterator[Plan]:
    index = 0
    while scenarios > 0:
        group = plan(seed, index, scenarios)
        scenarios -= group.count
        index += 1
        yield group


def _next(
    running: dict[Future[Any], tuple[str, Any]], to_make: "deque[Plan]", to_run: "dict[str, deque[Made]]"
) -> tuple[str, Any, tuple[Any, ...]] | None:
    """Return the most urgent work whose process is free: of the backend that is furthest behind, or references.

    It is (process, plan or group, call); None where every process that has work is busy.
    """
    busy = {name for name, _ in running.values()}
    free = sorted((name for name in to_run if to_run[name] and name not in busy), key=lambda name: -len(to_run[name]))
    longest = max(map(len, to_run.values()))
    if to_make and REFERENCES not in busy and (not free or longest < AHEAD):
        group = to_make.popleft()
        return REFERENCES, group, (f"{GROUPS}:make", group)
    if not free:
        return None
    made = to_run[free[0]].popleft()
    return free[0], made, (f"{GROUPS}:compute", free[0], made.plan, made.scenarios)


def _keep(found: Soak, to_run: "dict[str, deque[Made]]", group: Plan, future: "Future[Made]") -> None:
    error = future.exception()
    if error is not None:
        found.problems.append(f"group {group.index}: {type(error).__name__}: {error}")
        return
    made = future.result()
    found.problems += made.problems
    found.structures, found.scenarios = found.structures + 1, found.scenarios + len(made.scenarios)
    for waiting in to_run.values():
        waiting.append(made)


def _count(tallies: dict[str, Tally], backend: str, made: Made, future: "Future[list[Result]]") -> None:
    error = future.exception()
    broken = Result({}, 0.0, f"{type(error).__name__}: {error}")
    results = [broken] * len(made.scenarios) if error is not None else future.result()
    tally = tallies.setdefault(made.plan.dtype, Tally())
    how = "eager" if made.plan.eager else "compiled"
    for scenario, truth, result in zip(made.scenarios, made.references, results, strict=True):
        tally.add(judge(backend, scenario, made.plan.dtype, truth, result), how)
