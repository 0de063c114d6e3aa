"""A process for code that is not trusted: limited in time and memory, and gone with all that it started.

Contained are processes (killed with the caller, whatever ends the caller), memory, time, and output. Not contained are
files and the network: the code runs with the caller's rights.
"""

import base64
import os
import pickle
import secrets
import select
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from metaspec_conformance.containment import supervisor
from metaspec_conformance.containment.plain_data import CONTROL, MalformedDataError, decode
from metaspec_conformance.containment.worker_channel import LENGTH, TOKEN_BYTES
from metaspec_conformance.workers.worker import worker_environment

GIBIBYTE = 2**30
MESSAGE_BYTES = 2**28  # of one line, the message or what else is in the pipe
OUTPUT_BYTES = 2**14  # of what the process printed last, which is all that is kept
PATIENCE = 15.0  # seconds for the supervisor's killing and removing


class ProcessEndedError(Exception):
    """The process is gone, or was ended; the message says how. `timeout`: because it took too long."""

    def __init__(self, message: str, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


class ContainedProcess:
    """A Python module run in a process of its own, with a temporary folder that is removed at the end.

    Args:
        module: What it runs; it opens a `WorkerChannel`.
        classes: The classes that its messages are made of.
        memory: Limit of each process's data in bytes; 0 for none.
        keep_compilations: Whether frameworks keep in the temporary folder what they compile, so that code that compiles
            anew at every call does so once.
    """

    def __init__(self, module: str, classes: Sequence[type], memory: int = 0, keep_compilations: bool = False) -> None:
        self._classes = tuple(classes)
        self._token = secrets.token_bytes(TOKEN_BYTES)
        folder = Path(tempfile.gettempdir()).absolute() / f"metaspec-{secrets.token_hex(8)}"
        lifeline, self._lifeline = os.pipe()
        # -P: a folder named metaspec where the command runs must not take the installed package's place.
        command = [sys.executable, "-P", "-m", module]
        watched = [sys.executable, "-I", "-S", str(supervisor.__file__), str(lifeline), str(memory), str(folder)]
        try:
            self._process = subprocess.Popen(
                [*watched, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=worker_environment(1, folder if keep_compilations else None) | {"TMPDIR": str(folder)},
                pass_fds=(lifeline,),
                start_new_session=True,  # Ctrl-C reaches the caller alone, which then ends the process
            )
        finally:
            os.close(lifeline)
        self._stop, self._stopping = os.pipe()
        self._messages: Queue[Any] = Queue()
        self._printed: deque[bytes] = deque(maxlen=4)
        self._threads = [Thread(target=target, daemon=True) for target in (self._listen, self._collect)]
        for thread in self._threads:
            thread.start()
        with suppress(OSError):
            self._write(self._token)

    def ask(self, job: Any, timeout: float) -> Any:
        """Send a job and return the first message on it.

        Raises:
            ProcessEndedError: The process ended, or sent nothing in `timeout` seconds (it is ended then).
        """
        data = pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._write(LENGTH.pack(len(data)) + data)
        except OSError:
            raise ProcessEndedError(self._ending()) from None
        return self.receive(timeout)

    def receive(self, timeout: float) -> Any:
        """Return the next message.

        Raises:
            ProcessEndedError: As `ask`.
        """
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            self.kill()
            raise ProcessEndedError(
                f"the worker process did not answer within {timeout:g} s and was ended", timeout=True
            ) from None
        if isinstance(message, MalformedDataError):
            self.kill()
            raise ProcessEndedError(f"the worker process sent something that is no message and was ended ({message})")
        if message is None:
            raise ProcessEndedError(self._ending())
        return message[0]

    def kill(self) -> None:
        """End the process and all that it started, from any thread."""
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def close(self) -> None:
        """End the process; nothing of it is left."""
        self.kill()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._stopping)  # a process that escaped may hold the other ends of the pipes
        for thread in self._threads:
            thread.join()
        os.close(self._stop)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # what could not be written to a dead process
                if stream is not None:
                    stream.close()

    def _write(self, data: bytes) -> None:
        stream: Any = self._process.stdin
        stream.write(data)
        stream.flush()

    def _listen(self) -> None:
        """Queue the messages in the pipe; lines without the token, whoever wrote them, are passed over."""
        start, unfinished = self._token.hex().encode() + b" ", bytearray()
        try:
            for data in self._chunks(self._process.stdout):
                unfinished += data
                if len(unfinished) > MESSAGE_BYTES:
                    raise MalformedDataError(f"a line of more than {MESSAGE_BYTES} bytes")
                if b"\n" not in data:
                    continue
                *lines, rest = unfinished.split(b"\n")
                unfinished = bytearray(rest)
                for line in lines:
                    if line.startswith(start):
                        message = base64.b64decode(line[len(start) :], validate=True)
                        self._messages.put((decode(message, self._classes),))
        except MalformedDataError as error:
            self._messages.put(error)
        except ValueError as error:  # of base64
            self._messages.put(MalformedDataError(str(error)))
        self._messages.put(None)

    def _collect(self) -> None:
        """Keep the last of what the process prints."""
        for data in self._chunks(self._process.stderr):
            self._printed.append(data)

    def _chunks(self, stream: Any) -> Iterator[bytes]:
        """Yield what is in a pipe, until it is closed at its other end or `close` ends the reading."""
        pipe, poller = stream.fileno(), select.poll()
        for descriptor in (pipe, self._stop):
            poller.register(descriptor, select.POLLIN)
        while True:
            data = os.read(pipe, OUTPUT_BYTES) if pipe in dict(poller.poll()) else b""
            if not data:
                return
            yield data

    def _ending(self) -> str:
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the worker process closed the pipe to its caller and was ended"
        self._threads[1].join(PATIENCE)
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        lines = b"".join(self._printed).decode(errors="replace").strip().splitlines()
        return f"the worker process ended {how}" + (
            f"; it said: {lines[-1].strip()[:300].translate(CONTROL)}" if lines else ""
        )
