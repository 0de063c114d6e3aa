"""The queue of checks that the runner's threads work through, each thread with a worker process of its own.

A thread takes the next target that waits. Once none waits, it helps with the target that has the most checks left: it
takes them from the other end of the list, so that the slowest backend does not keep all others waiting.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Condition, Event

from metaspec_conformance.judging.certification import formats
from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.laws.framework.law_check import LawCheck
from metaspec_conformance.workers.messages import Hello, Result
from metaspec_conformance.workers.worker import Worker, WorkerDiedError

DEATHS = 3  # a target whose workers died this often is given up
CHECKS = "metaspec_conformance.workers.check_worker"
WORTH = 100  # checks left, for each worker at them, from which on another one gains more than its start costs

Job = tuple[Check, str]


@dataclass(frozen=True)
class Started:
    """Event: a target's first worker is up; `jobs` checks are to come."""

    target: str
    hello: Hello
    jobs: int


@dataclass(frozen=True)
class Answered:
    """Event: a worker has answered one check."""

    target: str
    check: Check
    dtype: str
    result: Result


@dataclass(frozen=True)
class Finished:
    """Event: nothing more comes from this target; `problem` says what kept it from its checks."""

    target: str
    problem: str = ""


@dataclass
class TargetRun:
    """Progress of one target: the checks that are left, None until a worker has said which formats there are."""

    target: str
    left: "deque[Job] | None" = None
    deaths: int = 0
    threads: int = 0
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether the target needs no further worker: nothing is left, or too many have died."""
        return self.deaths >= DEATHS or (self.left is not None and not self.left)

    @property
    def share(self) -> float:
        """Number of jobs left for each thread that works at them."""
        return len(self.left or ()) / self.threads

    def take(self, from_the_end: bool) -> Job | None:
        """Remove and return the next job; None where nothing is left to do."""
        try:
            return None if self.left is None or self.ended else self.left.pop() if from_the_end else self.left.popleft()
        except IndexError:  # another thread took the last one
            return None


@dataclass
class WorkQueue:
    """State shared by the runner and its threads: waiting targets, running ones, workers, and events for the runner.

    Workers share what their frameworks compile in the folder `compilations`. Unless `thorough`, laws are checked in the
    widest format that a target has.
    """

    waiting: "deque[str]"
    compilations: Path
    thorough: bool = True
    events: "Queue[Started | Answered | Finished]" = field(default_factory=Queue)
    workers: list[Worker] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    runs: list[TargetRun] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def end(self) -> None:
        """End every worker, after which the threads come to their end."""
        self.stop.set()
        with self.changed:
            self.changed.notify_all()
        for worker in list(self.workers):
            worker.kill()

    def join(self) -> tuple[TargetRun, bool] | None:
        """Return a target to work at, and whether that is as a helper; None where there is nothing to do."""
        with self.changed:
            while not self.stop.is_set():
                if self.waiting:
                    run = TargetRun(self.waiting.popleft(), threads=1)
                    self.runs.append(run)
                    return run, False
                busiest = max(self.runs, key=lambda run: run.share, default=None)
                if busiest is not None and busiest.share >= WORTH:
                    busiest.threads += 1
                    return busiest, True
                if all(run.left is not None for run in self.runs):
                    return None
                self.changed.wait()
        return None

    def started(self, run: TargetRun, hello: Hello, jobs: list[Job]) -> None:
        """Record that the first worker of a target is up, and which jobs it can do."""
        self.events.put(Started(run.target, hello, len(jobs)))  # before any helper can answer
        with self.changed:
            run.left = deque(jobs)
            self.changed.notify_all()

    def leave(self, run: TargetRun, problem: str) -> None:
        """Record that a thread is done with a target; the last thread reports what became of it."""
        with self.changed:
            run.threads -= 1
            run.problem = run.problem or problem
            if run.threads == 0:
                self.runs.remove(run)
                self.events.put(Finished(run.target, run.problem or _given_up(run)))
            self.changed.notify_all()


def serve(queue: WorkQueue, jobs: Sequence[Job], timeout: float) -> None:
    """Work at one target after another until there is nothing to do: the body of a thread."""
    while (joined := queue.join()) is not None:
        run, helps = joined
        problem = f"{run.target}: the runner failed"
        try:
            problem = _certify(queue, run, jobs, timeout, helps)
        finally:
            queue.leave(run, problem)


def _certify(queue: WorkQueue, run: TargetRun, jobs: Sequence[Job], timeout: float, helps: bool) -> str:
    with Worker(f"{CHECKS}:greet", run.target, compilations=queue.compilations) as worker:
        queue.workers.append(worker)
        try:
            while not run.ended and not queue.stop.is_set():
                hello: Hello = worker.start()
                if hello.error or hello.unwritten:
                    return hello.error or f"still to be written, in this order: {', '.join(hello.unwritten)}"
                if run.left is None:
                    possible = _possible(jobs, hello.dtypes)
                    queue.started(run, hello, possible if queue.thorough else _without_narrow_laws(possible))
                _work_off(queue, run, worker, timeout, helps)
        except WorkerDiedError as death:
            return str(death)
        finally:
            queue.workers.remove(worker)
    return ""


def _given_up(run: TargetRun) -> str:
    left = len(run.left or ())
    return f"the worker process died {run.deaths} times; {left} checks were not run" if left else ""


def _possible(jobs: Sequence[Job], there: Sequence[str]) -> list[Job]:
    """Return the jobs in formats that the target has; a check that has none of these is done in another, once."""
    return [
        (check, found)
        for check, dtype in jobs
        for found in formats(check, there)
        if found == dtype or (found not in check.dtypes and dtype == check.dtypes[0])
    ]


def _without_narrow_laws(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs but for laws in float32 that are there in float64 too."""
    wide = {check.id for check, dtype in jobs if dtype == "float64"}
    return [
        (check, dtype)
        for check, dtype in jobs
        if not (isinstance(check, LawCheck) and dtype == "float32" and check.id in wide)
    ]


def _work_off(queue: WorkQueue, run: TargetRun, worker: Worker, timeout: float, helps: bool) -> None:
    """Answer jobs until none is left or the worker dies: its death is the answer to the job that caused it."""
    while (job := run.take(from_the_end=helps)) is not None:
        try:
            result = worker.call(f"{CHECKS}:perform_check", run.target, *job, timeout=timeout)
        except WorkerDiedError as death:
            run.deaths += 1
            if not queue.stop.is_set():
                queue.events.put(Answered(run.target, *job, Result({}, 0.0, str(death))))
            return
        queue.events.put(Answered(run.target, *job, result))
