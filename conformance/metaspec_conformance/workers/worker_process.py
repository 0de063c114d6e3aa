"""The runner's end of one worker process: jobs in, results out, with a time limit; a dead worker is a result too."""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from metaspec.backend.registry import registrations
from metaspec_conformance.workers.channel import receive, send

if TYPE_CHECKING:
    from metaspec_conformance.workers.messages import Hello

STARTUP = 300.0  # seconds; a framework's import from a cold disk is slow


class WorkerDiedError(Exception):
    """The worker is gone, or too slow; the message says how."""


def _environment(compilations: Path | None) -> dict[str, str]:
    sharing: dict[str, str] = {}
    for registration in registrations().values():
        sharing |= registration.shared_compilations
    given = {} if compilations is None else {name: value.format(folder=compilations) for name, value in sharing.items()}
    return {name: value for name, value in os.environ.items() if name not in sharing} | given


class Process:
    """A worker process for one target.

    Args:
        target: A backend's name, or module:attribute.
        threads: How many threads its linear algebra may use; scenarios are small, and workers run side by side.
        module: What the process runs, with the target as its argument.
        compilations: A folder in which processes share, and keep, what their framework compiles, where it can.
            Without it the process compiles all for itself: nothing older than it can answer in a check's place.
    """

    def __init__(
        self,
        target: str,
        threads: int = 1,
        module: str = "metaspec_conformance.workers.check_worker",
        compilations: Path | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            # -P: a folder named metaspec where the command runs must not take the installed package's place.
            [sys.executable, "-P", "-m", module, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=limits | _environment(compilations),
            start_new_session=True,  # Ctrl-C reaches the runner alone, which then ends its workers
        )
        self._messages: Queue[Any] = Queue()
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def hello(self) -> "Hello":
        """The worker's first message.

        Raises:
            WorkerDiedError: It did not get that far.
        """
        hello: Hello = self._next(STARTUP)
        return hello

    def ask(self, job: Any, timeout: float) -> Any:
        """The answer to one job.

        Raises:
            WorkerDiedError: The worker ended, or did not answer in `timeout` seconds (it is ended then).
        """
        try:
            send(self._process.stdin, job)  # type: ignore[arg-type]
        except OSError:
            raise WorkerDiedError(self._epitaph()) from None
        return self._next(timeout)

    def further(self, timeout: float) -> Any:
        """The next message of a worker that says more than one on a job.

        Raises:
            WorkerDiedError: As `ask`.
        """
        return self._next(timeout)

    def kill(self) -> None:
        """End the process, from any thread."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """End the process; nothing of it is left."""
        self.kill()
        self._process.wait()
        self._listener.join()
        with suppress(OSError):  # what could not be written to a dead process
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()

    def _listen(self) -> None:
        try:
            while True:
                self._messages.put(receive(self._process.stdout))  # type: ignore[arg-type]
        except Exception:  # it is gone, or what it says cannot be read
            self._messages.put(None)

    def _next(self, timeout: float) -> Any:
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            self.kill()
            raise WorkerDiedError(f"the worker process did not answer within {timeout:g} s and was ended") from None
        if message is None:
            raise WorkerDiedError(self._epitaph())
        return message

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the worker process sent something that is no message and was ended"
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f"; it said: {lines[-1].strip()[:300]}" if lines else ""
        return f"the worker process ended {how}{said}"
