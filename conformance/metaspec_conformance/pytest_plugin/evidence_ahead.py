"""Evidence for the checks of a run: each computed once, those at the end of the run in a process beside the tests."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Thread

from metaspec_conformance.judging.evidence import Check, Evidence, evidence
from metaspec_conformance.workers.work_queue import WORTH
from metaspec_conformance.workers.worker import Worker, WorkerDiedError, WorkerError

TIMEOUT = 120.0  # seconds for one check's evidence, which takes three at most

_known: dict[str, tuple[Evidence, str]] = {}


def evidence_of(check: Check) -> tuple[Evidence, str]:
    """Return the evidence, whichever backends ask, and why it cannot be trusted ("" if it can)."""
    if check.id not in _known:
        _known[check.id] = evidence(check)
    return _known[check.id]


class EvidenceAhead:
    """A process that computes evidence from the last check backwards, until it meets what the tests have computed.

    Args:
        checks: In the order in which they run.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = [check for check in {check.id: check for check in checks}.values() if check.id not in _known]
        self._worker = Worker()
        self._thread = Thread(target=self._compute)
        if len(self._checks) >= WORTH:
            self._thread.start()

    def _compute(self) -> None:
        with suppress(WorkerDiedError, WorkerError):  # what is not known is computed where it is asked for
            for check in reversed(self._checks):
                if check.id in _known:
                    return
                found = self._worker.call("metaspec_conformance.judging.evidence:evidence", check, timeout=TIMEOUT)
                _known.setdefault(check.id, found)

    def close(self) -> None:
        """End the process."""
        self._worker.close()
        if self._thread.ident is not None:
            self._thread.join()
