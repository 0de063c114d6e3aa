"""The untrusted process's end: jobs come in from the caller, messages go out as lines that carry the caller's token."""

import base64
import os
import pickle
import signal
import struct
import sys
from typing import Any

from metaspec_conformance.containment.plain_data import encode

LENGTH = struct.Struct(">Q")
TOKEN_BYTES = 16


class WorkerChannel:
    """Takes over standard input and output of this process, before any code of a user's is loaded.

    Jobs are pickled by the caller, whom this process trusts; messages are plain data, for the caller does not trust it.
    What the user's code prints goes to standard error, and its standard input is empty.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends us
        self._jobs, self._results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        self._token = self._jobs.read(TOKEN_BYTES).hex().encode()
        sys.path.append(os.getcwd())  # for module:function, after everything that is installed

    def receive(self) -> Any:
        """Read the next job.

        Raises:
            EOFError: The caller has no more.
        """
        header = self._jobs.read(LENGTH.size)
        data = self._jobs.read(LENGTH.unpack(header)[0]) if len(header) == LENGTH.size else b""
        if not data:
            raise EOFError
        return pickle.loads(data)

    def send(self, message: Any) -> None:
        """Write a message: the token at the start of a line sets it apart from whatever else is in the pipe."""
        self._results.write(b"\n" + self._token + b" " + base64.b64encode(encode(message)) + b"\n")
        self._results.flush()
