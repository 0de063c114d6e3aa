"""A backend at work on cases: in a worker process where it has a name, in this one where it is an object."""

from dataclasses import replace
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec_conformance.judging.evidence import Check, Evidence, evidence
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.pytest_plugin.plugin_cases import Case
from metaspec_conformance.workers.check_worker import perform
from metaspec_conformance.workers.messages import Result
from metaspec_conformance.workers.unwritten import unwritten
from metaspec_conformance.workers.work_queue import DEATHS
from metaspec_conformance.workers.worker_process import Process, WorkerDiedError

TIMEOUT = 120.0  # seconds for one check


class Running:
    """One backend.

    Attributes:
        name: What it is called.
        unwritten: Its required members that are only placeholders, known once it has started.

    Args:
        backend: Its name, or "module:attribute": checks run in a worker process, so that a crash or a hang is a
            failure of its check. A Backend, or a Backend class: they run in this process.
        timeout: Seconds for one check in a worker.

    Raises:
        InvalidTypeError: It is none of these.
    """

    def __init__(self, backend: Any, timeout: float = TIMEOUT) -> None:
        self.unwritten: tuple[str, ...] = ()
        self._work: _Worker | None = None
        if isinstance(backend, str) and backend:
            self.name, self._work = backend, _Worker(backend, timeout)
        elif isinstance(backend, Backend) or (isinstance(backend, type) and issubclass(backend, Backend)):
            self._backend = backend if isinstance(backend, Backend) else backend()
            self.name, self.unwritten = self._backend.name, unwritten(self._backend)
        else:
            raise InvalidTypeError(
                f"backend: expected a name, 'module:attribute', a metaspec.Backend or its class, got {backend!r}"
            )

    def outcome(self, case: Case) -> Outcome:
        """The case, run and judged."""
        result = self._result(case)
        if self._work is not None:
            self.unwritten = self._work.unwritten
        proof, problem = ({}, "") if result.error else _evidence(case.check)
        if problem:
            result = replace(result, error=f"the reference is wrong: {problem}")
        return judge(self.name, case.check, case.dtype, proof, result)

    def _result(self, case: Case) -> Result:
        if self._work is not None:
            return self._work.ask(case)
        return perform(self._backend, case.check, case.dtype)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._work is not None:
            self._work.close()


class _Worker:
    """A worker process that is started when it is first asked, and again after a death, some times."""

    def __init__(self, target: str, timeout: float) -> None:
        self.unwritten: tuple[str, ...] = ()
        self._target, self._timeout = target, timeout
        self._process: Process | None = None
        self._deaths, self._broken = 0, ""

    def ask(self, case: Case) -> Result:
        try:
            process = self._process or self._started()
            if process is None:
                return Result({}, 0.0, self._broken)
            result: Result = process.ask((case.check, case.dtype), self._timeout)
            return result
        except WorkerDiedError as death:
            self.close()
            self._deaths += 1
            if self._deaths >= DEATHS:
                self._broken = f"the worker process died {DEATHS} times; it is not started again"
            return Result({}, 0.0, str(death))

    def _started(self) -> Process | None:
        if self._broken:
            return None
        self._process = Process(self._target)
        hello = self._process.hello()
        self.unwritten, self._broken = hello.unwritten, hello.error
        if self._broken:
            self.close()
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None


_known: dict[str, tuple[Evidence, str]] = {}


def _evidence(check: Check) -> tuple[Evidence, str]:
    """Computed once in this process, whichever backends ask."""
    if check.id not in _known:
        _known[check.id] = evidence(check)
    return _known[check.id]
