"""An audit in a process of its own: `python -m metaspec_conformance.audit.calls.audit_worker audit`.

It reads one job (function, options) from standard input and writes "calling" and "called" around every call of the
function, then the AuditReport or what went wrong, as messages of `channel`.
"""

import os
import signal
import sys
import traceback

from metaspec.errors import MetaspecError
from metaspec_conformance.audit.auditing import audit_in_this_process
from metaspec_conformance.audit.calls.supervising import CALLED, CALLING, Refused
from metaspec_conformance.workers.channel import receive, send


def main() -> None:
    """Do the job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other end ends us
    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints must not get between the messages
    sys.path.append(os.getcwd())  # for module:function, after everything that is installed
    function, options = receive(jobs)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a function that reads its input must not read ours
    try:
        send(
            results,
            audit_in_this_process(function, options, lambda calling: send(results, CALLING if calling else CALLED)),
        )
    except MetaspecError as error:
        send(results, Refused(type(error).__name__, str(error)))
    except Exception:
        send(results, Refused("", traceback.format_exc()))


if __name__ == "__main__":
    main()
