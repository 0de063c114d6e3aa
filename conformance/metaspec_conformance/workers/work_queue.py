"""The runner's threads: each takes a target that waits and works through its checks in a worker process.

Where none waits any longer, a thread helps with the target that has the most left: it works from the other end of the
list in a worker process of its own, so that the slowest backend does not keep all others waiting.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Condition, Event

from metaspec_conformance.judging.certification import formats
from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.workers.messages import Hello, Result
from metaspec_conformance.workers.worker_process import Process, WorkerDiedError

DEATHS = 3  # a target whose workers died this often is given up
WORTH = 100  # checks left, for each worker at them, from which on another one gains more than its start costs

Job = tuple[Check, str]


@dataclass(frozen=True)
class Started:
    """A target's first worker is up; `jobs` checks are to come."""

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
class Course:
    """One target's checks, and who is at them; `left` is None until a worker has said which formats there are."""

    target: str
    left: "deque[Job] | None" = None
    deaths: int = 0
    threads: int = 0
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether no further worker is to be started."""
        return self.deaths >= DEATHS or (self.left is not None and not self.left)

    @property
    def share(self) -> float:
        """The jobs left for each worker."""
        return len(self.left or ()) / self.threads

    def take(self, from_the_end: bool) -> Job | None:
        """The next job, or None where none is to be done."""
        try:
            return None if self.left is None or self.ended else self.left.pop() if from_the_end else self.left.popleft()
        except IndexError:  # another thread took the last one
            return None


@dataclass
class Line:
    """What the runner shares with its threads; workers share what their frameworks compile through `compilations`."""

    waiting: "deque[str]"
    compilations: Path
    events: "Queue[Started | Answered | Finished]" = field(default_factory=Queue)
    processes: list[Process] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    courses: list[Course] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def end(self) -> None:
        """End every worker; the threads then come to their end."""
        self.stop.set()
        with self.changed:
            self.changed.notify_all()
        for process in list(self.processes):
            process.kill()

    def join(self) -> tuple[Course, bool] | None:
        """A target that waits, else one that can do with help (and True); None where there is nothing to do."""
        with self.changed:
            while not self.stop.is_set():
                if self.waiting:
                    course = Course(self.waiting.popleft(), threads=1)
                    self.courses.append(course)
                    return course, False
                busiest = max(self.courses, key=lambda course: course.share, default=None)
                if busiest is not None and busiest.share >= WORTH:
                    busiest.threads += 1
                    return busiest, True
                if all(course.left is not None for course in self.courses):
                    return None
                self.changed.wait()
        return None

    def started(self, course: Course, hello: Hello, jobs: list[Job]) -> None:
        """The first worker of a target is up."""
        self.events.put(Started(course.target, hello, len(jobs)))  # before any helper can answer
        with self.changed:
            course.left = deque(jobs)
            self.changed.notify_all()

    def leave(self, course: Course, problem: str) -> None:
        """A thread is done with a target; the last one says what became of it."""
        with self.changed:
            course.threads -= 1
            course.problem = course.problem or problem
            if course.threads == 0:
                self.courses.remove(course)
                self.events.put(Finished(course.target, course.problem or _given_up(course)))
            self.changed.notify_all()


def serve(line: Line, jobs: Sequence[Job], timeout: float) -> None:
    """Work until there is nothing to do."""
    while (joined := line.join()) is not None:
        course, helps = joined
        problem = f"{course.target}: the runner failed"
        try:
            problem = _certify(line, course, jobs, timeout, helps)
        finally:
            line.leave(course, problem)


def _certify(line: Line, course: Course, jobs: Sequence[Job], timeout: float, helps: bool) -> str:
    while not course.ended:
        process = Process(course.target, compilations=line.compilations)
        line.processes.append(process)
        try:
            if line.stop.is_set():
                return ""
            hello = process.hello()
            if hello.error or hello.unwritten:
                return hello.error or f"still to be written, in this order: {', '.join(hello.unwritten)}"
            if course.left is None:
                line.started(course, hello, _possible(jobs, hello.dtypes))
            _work_off(line, course, process, timeout, helps)
        except WorkerDiedError as death:
            return str(death)
        finally:
            line.processes.remove(process)
            process.close()
    return ""


def _given_up(course: Course) -> str:
    left = len(course.left or ())
    return f"the worker process died {course.deaths} times; {left} checks were not run" if left else ""


def _possible(jobs: Sequence[Job], there: Sequence[str]) -> list[Job]:
    """The jobs in formats that there are; a check that has none of these is done in another, once."""
    return [
        (check, found)
        for check, dtype in jobs
        for found in formats(check, there)
        if found == dtype or (found not in check.dtypes and dtype == check.dtypes[0])
    ]


def _work_off(line: Line, course: Course, process: Process, timeout: float, helps: bool) -> None:
    """Until nothing is left, or the worker dies: its death is the answer to the job that caused it."""
    while (job := course.take(from_the_end=helps)) is not None:
        try:
            result = process.ask(job, timeout)
        except WorkerDiedError as death:
            course.deaths += 1
            if not line.stop.is_set():
                line.events.put(Answered(course.target, *job, Result({}, 0.0, str(death))))
            return
        line.events.put(Answered(course.target, *job, result))
