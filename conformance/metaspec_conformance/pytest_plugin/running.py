"""A backend at work on cases: in a worker process where it has a name, in this one where it is an object."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.pytest_plugin.evidence_ahead import EvidenceAhead, evidence_of
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase
from metaspec_conformance.workers.check_worker import perform
from metaspec_conformance.workers.messages import Hello, Result
from metaspec_conformance.workers.unwritten import unwritten
from metaspec_conformance.workers.work_queue import CHECKS, DEATHS
from metaspec_conformance.workers.worker import Worker, WorkerDiedError

TIMEOUT = 120.0  # seconds for one check


class Running:
    """One backend.

    Attributes:
        name: What it is called.
        unwritten: Its required members that are only placeholders, known once it has started.
        upcoming: The checks that will be asked for, as far as they are known, in their order.

    Args:
        backend: Its name, or "module:attribute": checks run in a worker process, so that a crash or a hang is a
            failure of its check. A Backend, or a Backend class: they run in this process.
        timeout: Seconds for one check in a worker.

    Raises:
        InvalidTypeError: It is none of these.
    """

    def __init__(self, backend: Any, timeout: float = TIMEOUT) -> None:
        self.unwritten: tuple[str, ...] = ()
        self.upcoming: Sequence[Check] = ()
        self._work: _Target | None = None
        self._ahead: EvidenceAhead | None = None
        if isinstance(backend, str) and backend:
            self.name, self._work = backend, _Target(backend, timeout)
        elif isinstance(backend, Backend) or (isinstance(backend, type) and issubclass(backend, Backend)):
            self._backend = backend if isinstance(backend, Backend) else backend()
            self.name, self.unwritten = self._backend.name, unwritten(self._backend)
        else:
            raise InvalidTypeError(
                f"backend: expected a name, 'module:attribute', a metaspec.Backend or its class, got {backend!r}"
            )

    def outcome(self, case: CheckCase) -> Outcome:
        """The case, run and judged."""
        result = self._result(case)
        if self._work is not None:
            self.unwritten = self._work.unwritten
        proof, problem = ({}, "") if result.error else evidence_of(case.check)
        if problem:
            result = replace(result, error=f"the reference is wrong: {problem}")
        return judge(self.name, case.check, case.dtype, proof, result)

    def _result(self, case: CheckCase) -> Result:
        if self._work is None:
            return perform(self._backend, case.check, case.dtype)
        if not self._work.complete:  # most checks end with an error, for which no evidence is needed
            return self._work.ask(case)
        self._ahead = self._ahead or EvidenceAhead(self.upcoming)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(self._work.ask, case)
            try:
                evidence_of(case.check)  # computed here while the worker computes
            except BaseException:
                self._work.kill()  # else the thread would be waited for
                raise
            return answer.result()

    def close(self) -> None:
        """End what it has started."""
        if self._ahead is not None:
            self._ahead.close()
        if self._work is not None:
            self._work.close()


class _Target:
    """A target in a worker process, which is given up after some deaths; `complete` where results can be expected."""

    def __init__(self, target: str, timeout: float) -> None:
        self.unwritten: tuple[str, ...] = ()
        self.complete = False
        self._target, self._timeout = target, timeout
        self._worker = Worker(f"{CHECKS}:greet", target)
        self._deaths, self._broken = 0, ""

    def ask(self, case: CheckCase) -> Result:
        if self._broken:
            return Result({}, 0.0, self._broken)
        try:
            hello: Hello = self._worker.start()
            self.unwritten, self._broken = hello.unwritten, hello.error
            self.complete = not (self.unwritten or self._broken)
            if self._broken:
                return Result({}, 0.0, self._broken)
            result: Result = self._worker.call(
                f"{CHECKS}:perform_check", self._target, case.check, case.dtype, timeout=self._timeout
            )
            return result
        except WorkerDiedError as death:
            self._deaths += 1
            if self._deaths >= DEATHS:
                self.complete = False
                self._broken = f"the worker process died {DEATHS} times; it is not started again"
            return Result({}, 0.0, str(death))

    def kill(self) -> None:
        self._worker.kill()

    def close(self) -> None:
        self._worker.close()
