"""One thread of the runner: takes targets off a queue and works through each one's checks in a worker process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event

from metaspec.conformance.certification import formats
from metaspec.conformance.evidence import Check
from metaspec.conformance.messages import Hello, Result
from metaspec.conformance.process import Process, WorkerDiedError

DEATHS = 3  # a worker that died this often is not started again

Job = tuple[Check, str]


@dataclass(frozen=True)
class Started:
    """A worker is up; `jobs` checks are to come."""

    target: str
    hello: Hello
    jobs: int


@dataclass(frozen=True)
class Answered:
    """One check's result."""

    target: str
    check: Check
    dtype: str
    result: Result


@dataclass(frozen=True)
class Finished:
    """Nothing more comes from this target; `problem` is what kept it from its checks."""

    target: str
    problem: str = ""


@dataclass
class Line:
    """What the runner shares with its threads."""

    waiting: "Queue[str]" = field(default_factory=Queue)
    events: "Queue[Started | Answered | Finished]" = field(default_factory=Queue)
    processes: list[Process] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def end(self) -> None:
        """End every worker; the threads then come to their end."""
        self.stop.set()
        for process in list(self.processes):
            process.kill()


def serve(line: Line, jobs: Sequence[Job], timeout: float) -> None:
    """Work until no target waits."""
    while not line.stop.is_set():
        try:
            target = line.waiting.get_nowait()
        except Empty:
            return
        problem = f"{target}: the runner failed"
        try:
            problem = _certify(line, target, jobs, timeout)
        finally:
            line.events.put(Finished(target, problem))


def _certify(line: Line, target: str, jobs: Sequence[Job], timeout: float) -> str:
    remaining = iter(jobs)
    for life in range(DEATHS):
        process = Process(target)
        line.processes.append(process)
        try:
            if line.stop.is_set():
                return ""
            hello = process.hello()
            if hello.error or hello.unwritten:
                return hello.error or f"still to be written, in this order: {', '.join(hello.unwritten)}"
            if life == 0:
                jobs = _possible(jobs, hello.dtypes)
                remaining = iter(jobs)
                line.events.put(Started(target, hello, len(jobs)))
            if _work_off(line, target, process, remaining, timeout):
                return ""
        except WorkerDiedError as death:
            return str(death)
        finally:
            line.processes.remove(process)
            process.close()
    left = len(list(remaining))
    return f"the worker process died {DEATHS} times; {left} checks were not run" if left else ""


def _possible(jobs: Sequence[Job], there: Sequence[str]) -> list[Job]:
    """The jobs in formats that there are; a check that has none of these is done in another, once."""
    return [
        (check, found)
        for check, dtype in jobs
        for found in formats(check, there)
        if found == dtype or (found not in check.dtypes and dtype == check.dtypes[0])
    ]


def _work_off(line: Line, target: str, process: Process, remaining: Iterator[Job], timeout: float) -> bool:
    """Whether all that remained was answered; False after a death, which is the answer to the job that caused it."""
    for check, dtype in remaining:
        try:
            result = process.ask((check, dtype), timeout)
        except WorkerDiedError as death:
            if not line.stop.is_set():
                line.events.put(Answered(target, check, dtype, Result({}, 0.0, str(death))))
            return line.stop.is_set()
        line.events.put(Answered(target, check, dtype, result))
    return True
