"""The caller's end of an audit in another process: a call that hangs, or a process that dies, is a finding."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaspec import errors
from metaspec_conformance.audit.audit_state import Claims
from metaspec_conformance.audit.calls.observation import Failure
from metaspec_conformance.audit.findings.audit_report import AuditReport, EvidenceRow, Finding
from metaspec_conformance.audit.findings.conclusion import failure_report
from metaspec_conformance.containment.contained_process import GIBIBYTE, ContainedProcess, ProcessEndedError

WORKER = "metaspec_conformance.audit.calls.audit_worker"
CALLING, CALLED = "calling", "called"
OWN_SECONDS = 300.0  # for imports and the search, which are not the function's


@dataclass(frozen=True)
class AuditError:
    """An error of the audit's arguments; `kind` is its class in `metaspec.errors`, or empty for one of our own."""

    kind: str
    text: str


def supervised(
    function: str, options: dict[str, Any], timeout: float, memory: float, progress: Callable[[int], None]
) -> AuditReport:
    """Audit a function in a contained process.

    Args:
        function: Its place.
        options: Of the audit.
        timeout: Seconds for one call.
        memory: GiB of data for the process.
        progress: Told how many calls have begun, before and after each.

    Raises:
        InvalidArgumentError: A problem that cannot be sent there; or what the arguments are wrong in.
    """
    try:
        pickle.dumps(options)
    except Exception:
        raise errors.InvalidArgumentError(
            "audit: the problem cannot be sent to another process; give it as 'module:attribute', or isolated=False"
        ) from None
    claims, calls, calling = Claims(options["claim"]), 0, False
    classes = (AuditReport, EvidenceRow, Finding, AuditError)
    process = ContainedProcess(WORKER, classes, int(memory * GIBIBYTE), keep_compilations=True)
    try:
        message = process.ask((function, options), OWN_SECONDS)
        while message in (CALLING, CALLED):
            calling = message == CALLING
            calls += calling
            progress(calls)
            message = process.receive(timeout if calling else OWN_SECONDS)
    except ProcessEndedError as ended:
        if calling and ended.timeout:
            return failure_report(Failure("timeout", f"a call did not end within {timeout:g} s"), claims, calls)
        during = " during a call" if calling else ""
        return failure_report(Failure("died", f"{ended}{during}"), claims, calls)
    finally:
        process.close()
    if isinstance(message, AuditError):
        kind: Any = getattr(errors, message.kind, None)
        raise (kind or RuntimeError)(message.text)
    if not isinstance(message, AuditReport):
        return failure_report(Failure("died", "the process sent something else than a report"), claims, calls)
    return message
