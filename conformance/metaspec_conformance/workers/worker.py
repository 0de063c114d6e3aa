"""A worker process: runs functions by name with a time limit; its death is an answer, and the next call starts anew."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from metaspec.backend.registry import registrations
from metaspec_conformance.workers.child import RAISED

STARTUP = 300.0  # seconds; a framework's import from a cold disk is slow
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PROGRAM = "from metaspec_conformance.workers.child import main; main({descriptor})"


class WorkerDiedError(Exception):
    """The worker ended, or was ended because it was too slow; the message says how."""


class WorkerError(Exception):
    """A function raised an error in the worker, which lives on.

    Attributes:
        kind: Name of the error's class.
        text: The error's message.
        trace: The traceback there, as text.
    """

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.trace = kind, text, trace


def worker_environment(threads: int, compilations: Path | None) -> dict[str, str]:
    """Return this process's environment, with limits for linear algebra and a place for compiled programs.

    Args:
        threads: How many threads linear algebra may use, unless the environment says otherwise.
        compilations: Folder in which processes share what their framework compiles, where it can. None: every process
            compiles everything itself, and nothing older than it can answer in a check's place.
    """
    sharing: dict[str, str] = {}
    for registration in registrations().values():
        sharing |= registration.shared_compilations
    given = {} if compilations is None else {name: value.format(folder=compilations) for name, value in sharing.items()}
    kept = {name: value for name, value in os.environ.items() if name not in sharing}
    return dict.fromkeys(THREADS, str(threads)) | kept | given


class Worker:
    """A process that runs functions by name, started when it is first needed and again after its death.

    Functions are named "module:function"; arguments and results are pickled, so the code must be trusted (see
    `metaspec_conformance.containment` for code that is not). State lives in the process: in its modules, from one call
    to the next.

    Args:
        setup: Function that every new process runs first; `start` returns what it returned. None: nothing is run.
        arguments: Of `setup`.
        threads: How many threads linear algebra may use there; checks are small, and workers run side by side.
        compilations: See `worker_environment`.

    Example:
        >>> from metaspec_conformance.workers.worker import Worker
        >>> with Worker() as worker:
        ...     worker.call("math:hypot", 3.0, 4.0, timeout=60)
        5.0
    """

    def __init__(
        self,
        setup: str | None = None,
        *arguments: Any,
        threads: int = 1,
        compilations: Path | None = None,
    ) -> None:
        self._setup, self._arguments = setup, arguments
        self._environment = worker_environment(threads, compilations)
        self._lock, self._ended = Lock(), False
        self._process: _Process | None = None
        self._greeting: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, timeout: float = STARTUP) -> Any:
        """Start the process if none is there, and return what `setup` returned in it.

        Raises:
            WorkerDiedError: The process did not get that far in `timeout` seconds, or `kill` was called.
            WorkerError: `setup` raised an error.
        """
        with self._lock:
            if self._ended:
                raise WorkerDiedError("the worker process was ended")
            if self._process is not None:
                return self._greeting
            self._process = _Process(self._environment)
        if self._setup is not None:
            try:
                self._greeting = self._answer(self._setup, self._arguments, timeout)
            except WorkerError:
                self._drop()
                raise
        return self._greeting

    def call(self, function: str, *arguments: Any, timeout: float) -> Any:
        """Return what the function returns in the process.

        Args:
            function: "module:function".
            arguments: Whatever can be pickled.
            timeout: Seconds until the answer.

        Raises:
            WorkerDiedError: The process ended, or did not answer in time and was ended.
            WorkerError: The function raised an error.
        """
        self.start()
        return self._answer(function, arguments, timeout)

    def kill(self) -> None:
        """End the process, and everything that it started, for good; may be called from any thread."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process for good, and release what belongs to it."""
        self.kill()
        self._drop()

    def _answer(self, function: str, arguments: tuple[Any, ...], timeout: float) -> Any:
        process = self._process
        if process is None:
            raise WorkerDiedError("the worker process was ended")
        try:
            process.send(function, arguments)
            kind, value = process.receive(timeout)
        except WorkerDiedError:
            self._drop()
            raise
        if kind == RAISED:
            raise WorkerError(*value)
        return value

    def _drop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()


class _Process:
    """One operating system process and the connection to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        ours, theirs = socket.socketpair()
        program = PROGRAM.format(descriptor=theirs.fileno())
        with theirs:
            self._popen = subprocess.Popen(
                # -P: a folder named metaspec where the command runs must not take the installed package's place.
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches the parent alone; and the group can be ended as a whole
            )
        self._socket = ours
        self._connection = Connection(os.dup(ours.fileno()))

    def send(self, function: str, arguments: tuple[Any, ...]) -> None:
        data = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._connection.send_bytes(data)
        except OSError:
            raise WorkerDiedError(self._exit_message()) from None

    def receive(self, timeout: float) -> tuple[str, Any]:
        try:
            if not self._connection.poll(timeout):
                self.kill()
                raise WorkerDiedError(f"the worker process did not answer within {timeout:g} s and was ended")
            data = self._connection.recv_bytes()
        except (EOFError, OSError):
            raise WorkerDiedError(self._exit_message()) from None
        kind, value = pickle.loads(data)
        return kind, value

    def kill(self) -> None:
        with suppress(OSError):  # reads that wait come to an end, whoever else holds the other end
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._popen.wait()
        self._connection.close()
        self._socket.close()
        self._output.close()

    def _exit_message(self) -> str:
        try:
            code = self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the worker process closed its connection and was ended"
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        said = f"; it said: {lines[-1].strip()[:300]}" if lines else ""
        return f"the worker process ended {how}{said}"
