"""The end of an audit that keeps the time: a call that hangs, or a process that dies, is a finding."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metaspec import errors
from metaspec_conformance.audit.audit_state import Claims
from metaspec_conformance.audit.calls.observation import Failure
from metaspec_conformance.audit.findings.audit_report import AuditReport
from metaspec_conformance.audit.findings.conclusion import failure_report
from metaspec_conformance.workers.worker_process import Process, WorkerDiedError

CALLING, CALLED = "calling", "called"
OURS = 300.0  # seconds for what is not the function's


@dataclass(frozen=True)
class Refused:
    """An error of the audit's arguments; `kind` is its class in `metaspec.errors`, or empty for one of our own."""

    kind: str
    text: str


def supervised(function: str, options: dict[str, Any], timeout: float) -> AuditReport:
    """The audit in a child process.

    Raises:
        InvalidArgumentError: A problem that cannot be sent there; or what the arguments are wrong in.
    """
    try:
        pickle.dumps(options)
    except Exception:
        raise errors.InvalidArgumentError(
            "audit: the problem cannot be sent to another process; give it as 'module:attribute', or isolated=False"
        ) from None
    with TemporaryDirectory(prefix="metaspec-") as folder:  # much user code compiles the same anew at every call
        return _supervised(Path(folder), function, options, timeout)


def _supervised(compilations: Path, function: str, options: dict[str, Any], timeout: float) -> AuditReport:
    process = Process("audit", module="metaspec_conformance.audit.calls.audit_worker", compilations=compilations)
    claims, calls, calling = Claims(options["claim"]), 0, False
    try:
        message = process.ask((function, options), OURS)
        while isinstance(message, str):
            calling = message == CALLING
            calls += calling
            message = process.further(timeout if calling else OURS)
    except WorkerDiedError as died:
        if calling and "did not answer" in str(died):
            text = f"a call did not end within {timeout:g} s"
            return failure_report(Failure("timeout", text), claims, calls)
        said = str(died).removeprefix("the worker ")
        return failure_report(Failure("died", f"{said}{' during a call' if calling else ''}"), claims, calls)
    finally:
        process.close()
    if isinstance(message, Refused):
        kind: Any = getattr(errors, message.kind, None)
        raise (kind or RuntimeError)(message.text)
    report: AuditReport = message
    return report
