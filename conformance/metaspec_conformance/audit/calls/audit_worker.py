"""An audit in a process of its own: `python -m metaspec_conformance.audit.calls.audit_worker`.

It reads one job (function, options) and sends "calling" and "called" around every call of the function, then the
AuditReport, or what went wrong.
"""

import traceback

from metaspec.errors import MetaspecError
from metaspec_conformance.audit.audit_running import audit_in_this_process
from metaspec_conformance.audit.calls.supervising import CALLED, CALLING, AuditError
from metaspec_conformance.containment.worker_channel import WorkerChannel


def main() -> None:
    """Audit one function and send the report to the caller."""
    channel = WorkerChannel()
    function, options = channel.receive()

    def notify(calling: bool) -> None:
        channel.send(CALLING if calling else CALLED)

    try:
        channel.send(audit_in_this_process(function, options, notify))
    except MetaspecError as error:
        channel.send(AuditError(type(error).__name__, str(error)))
    except Exception:
        channel.send(AuditError("", traceback.format_exc()))


if __name__ == "__main__":
    main()
