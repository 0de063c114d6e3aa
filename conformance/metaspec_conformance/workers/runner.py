"""Runs checks (scenarios, laws) on backends, each in its own process, and holds the results against the evidence."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from metaspec_conformance.judging.evidence import Check, Evidence, evidence
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.workers.work_queue import Answered, Started, WorkQueue, serve

TIMEOUT = 120.0  # seconds for one check; the slowest compilation takes a few
REFERENCE = "reference"

Progress = Callable[[str, int, int], None]
"""(target, checks done, checks in all)."""


@dataclass(frozen=True)
class VerifyReport:
    """Everything that a run found.

    Attributes:
        outcomes: One per backend, check and format, in the order in which these were given.
        versions: Of each backend that started, what its numbers depend on.
        broken: Failures of a backend, or of the reference, as a whole: (backend, message).
        interrupted: Whether a KeyboardInterrupt ended it before everything had run.
        thorough: Whether laws ran in every format, not in the widest alone.
    """

    outcomes: tuple[Outcome, ...]
    versions: dict[str, dict[str, str]]
    broken: tuple[tuple[str, str], ...]
    interrupted: bool = False
    thorough: bool = True

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that did not pass."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def passed(self) -> bool:
        """Whether all that was to run ran, if anything, and passed."""
        return bool(self.outcomes) and not self.failures and not self.broken and not self.interrupted


def run(
    targets: Sequence[str],
    checks: Sequence[Check],
    dtypes: Sequence[str] | None = None,
    *,
    workers: int = 2,
    timeout: float = TIMEOUT,
    thorough: bool = True,
    progress: Progress = lambda target, done, total: None,
) -> VerifyReport:
    """Certify backends.

    Args:
        targets: Backend names, or module:attribute of a Backend (see `loading.load`).
        checks: What to run.
        dtypes: The formats; None is each check's own.
        workers: How many processes run at a time: one a backend, and the last backends share those that are free.
        timeout: Seconds for one check.
        thorough: Check laws in every format; else in the widest alone.
        progress: Called after each check.

    Returns:
        VerifyReport; after a KeyboardInterrupt that of what was done. Worker processes are ended on the way out.
    """
    jobs = [(check, dtype) for check in checks for dtype in check.dtypes if dtypes is None or dtype in dtypes]
    with TemporaryDirectory(prefix="metaspec-") as compilations:
        queue = WorkQueue(deque(targets), Path(compilations), thorough)
        threads = [Thread(target=serve, args=(queue, jobs, timeout)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            report = _collect(queue, len(targets), progress)
        finally:
            queue.end()
            for thread in threads:
                thread.join()
    place = {check.id: i for i, check in enumerate(checks)}
    found = sorted(report.outcomes, key=lambda o: (targets.index(o.backend), place[o.scenario], o.dtype))
    return replace(report, outcomes=tuple(found), thorough=thorough)


def _collect(queue: WorkQueue, targets: int, progress: Progress) -> VerifyReport:
    outcomes: list[Outcome] = []
    versions: dict[str, dict[str, str]] = {}
    broken: list[tuple[str, str]] = []
    totals: dict[str, int] = {}
    done: dict[str, int] = {}
    known = _References()
    interrupted = False
    try:
        while targets:
            event = queue.events.get()
            if isinstance(event, Started):
                versions[event.target], totals[event.target], done[event.target] = event.hello.versions, event.jobs, 0
            elif isinstance(event, Answered):
                outcomes.append(_judged(event, known))
                done[event.target] += 1
                progress(event.target, done[event.target], totals[event.target])
            else:
                targets -= 1
                if event.problem:
                    broken.append((event.target, event.problem))
    except KeyboardInterrupt:
        interrupted = True
    problems = (*broken, *((REFERENCE, problem) for problem in known.problems))
    return VerifyReport(tuple(outcomes), versions, problems, interrupted)


@dataclass
class _References:
    """Evidence by check, each computed once; `problems` says which cannot be trusted."""

    problems: list[str] = field(default_factory=list)
    found: dict[str, Evidence | None] = field(default_factory=dict)

    def of(self, check: Check) -> Evidence | None:
        if check.id not in self.found:
            try:
                self.found[check.id], problem = evidence(check)
            except Exception as error:
                self.found[check.id], problem = None, f"{type(error).__name__}: {error}"
            self.problems += [f"{check.id}: {problem.removeprefix(f'{check.id}: ')}"] if problem else []
        return self.found[check.id]


def _judged(event: Answered, references: _References) -> Outcome:
    truth = references.of(event.check)
    if truth is not None:
        return judge(event.target, event.check, event.dtype, truth, event.result)
    name = event.check.algorithm_name
    return Outcome(event.target, name, event.check.id, event.dtype, "none", None, "no reference could be computed")
