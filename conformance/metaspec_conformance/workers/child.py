"""The program of a worker process: runs the functions that its parent names, and answers with what they return.

`Worker` starts it as `main(file descriptor)`. The connection has a file descriptor of its own, so that nothing that a
framework prints gets between the messages; standard input is empty.
"""

import importlib
import os
import pickle
import select
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import metaspec  # noqa: F401  # before the working folder, which may have one of that name, is searched

RETURNED, RAISED = "returned", "raised"

_connection: Connection | None = None


def main(descriptor: int) -> None:
    """Run functions until the parent closes the connection."""
    global _connection
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    os.set_inheritable(descriptor, False)
    _connection = Connection(descriptor)
    Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    sys.path.append(os.getcwd())  # for module:attribute, after everything that is installed
    while True:
        try:
            function, arguments = pickle.loads(_connection.recv_bytes())
        except EOFError:
            return
        _run(function, arguments)


def _run(function: str, arguments: tuple[Any, ...]) -> None:
    try:
        module, _, name = function.partition(":")
        returned = getattr(importlib.import_module(module), name)(*arguments)
    except Exception as error:
        _answer(RAISED, (type(error).__name__, str(error), traceback.format_exc()))
        return
    try:
        _answer(RETURNED, returned)
    except Exception as error:
        _answer(RAISED, (type(error).__name__, f"what {function} returned cannot be sent: {error}", ""))


def _answer(kind: str, value: Any) -> None:
    assert _connection is not None
    _connection.send_bytes(pickle.dumps((kind, value), protocol=pickle.HIGHEST_PROTOCOL))


def _end_with_parent(descriptor: int) -> None:
    """End this process and all that it started once the parent's end of the connection is closed, by a kill too."""
    poller = select.poll()
    poller.register(descriptor, select.POLLHUP)
    poller.poll()
    os.killpg(os.getpgid(0), signal.SIGKILL)
