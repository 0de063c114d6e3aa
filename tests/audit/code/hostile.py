"""Code that leaves processes, memory, folders and forged messages behind it, or tries to."""

import contextlib
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import metaspec as ms


def _begun() -> None:
    Path(os.environ["METASPEC_TEST_BEGUN"]).touch()


def spins(params, tasks, lr, steps):
    _begun()
    while True:
        pass


def grandchild(params, tasks, lr, steps):
    subprocess.Popen(["sleep", "333"])
    _begun()
    time.sleep(333)


def daemon(params, tasks, lr, steps):
    """In a session of its own, its parent gone."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "333"])
        os._exit(0)
    time.sleep(0.2)
    _begun()
    time.sleep(333)


def deaf(params, tasks, lr, steps):
    """Deaf to every signal that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(333)"])
    _begun()
    time.sleep(333)


def unremovable_folder(params, tasks, lr, steps):
    folder = Path(tempfile.mkdtemp())
    (folder / "inner").mkdir()
    (folder / "inner" / "file").touch()
    (folder / "link").symlink_to(Path.home())
    (folder / "inner").chmod(0)
    _begun()
    time.sleep(333)


class _Runs:
    def __reduce__(self):
        return os.system, (f"touch {os.environ['METASPEC_TEST_FORGED']}",)


def _pipes():
    for fd in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith(("pipe:", "socket:")):
                yield fd
        except OSError:
            pass


def _write(fd, data):
    with contextlib.suppress(OSError):
        os.write(fd, data)


def _fomaml(params, tasks, loss, lr, steps):
    return ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta


def forges(params, tasks, loss, lr, steps):
    """A pickle on every pipe, in the forms that a reader might take for a message; then the plain result."""
    data = pickle.dumps(_Runs())
    for fd in _pipes():
        for message in (data, struct.pack(">Q", len(data)) + data, struct.pack(">I", len(data)) + data, b"\n" + data):
            _write(fd, message)
    return _fomaml(params, tasks, loss, lr, steps)


def garbage(params, tasks, loss, lr, steps):
    """Half of a line on every pipe, so that what follows must find its own beginning."""
    for fd in _pipes():
        _write(fd, b'{"$": "array", "data": "' + bytes(range(256)))
    return _fomaml(params, tasks, loss, lr, steps)


def floods(params, tasks, lr, steps):
    _begun()
    while True:
        sys.stdout.write("x" * 100_000 + "\n")
        sys.stderr.write("y" * 100_000)


def _channel():
    """What only the audit is meant to know: found among all objects."""
    import gc

    from metaspec_conformance.containment.worker_channel import WorkerChannel

    return next(x for x in gc.get_objects() if isinstance(x, WorkerChannel))


@dataclass
class Popen:
    """A class that the audit does not expect."""

    args: str


def forged_class(params, tasks, lr, steps):
    _channel().send(Popen("touch this"))
    time.sleep(333)


def forged_fields(params, tasks, lr, steps):
    from metaspec_conformance.audit import AuditReport

    _channel().send(AuditReport(3, []))
    time.sleep(333)


def truncated(params, tasks, lr, steps):
    channel = _channel()
    channel._results.write(b"\n" + channel._token + b" AAAAAAAA")
    channel._results.flush()
    os._exit(0)


def no_base64(params, tasks, lr, steps):
    channel = _channel()
    channel._results.write(b"\n" + channel._token + b" {}\n")
    channel._results.flush()
    time.sleep(333)


def another_message(params, tasks, lr, steps):
    _channel().send({"verdict": "identified"})
    time.sleep(333)


def eats_memory(params, tasks, lr, steps):
    import numpy as np

    return {name: np.ones(2**28)[: leaf.size].reshape(leaf.shape) for name, leaf in params.items()}


def escapes(params, tasks, lr, steps):
    """A daemon that outlives its supervisor, and holds the pipes."""
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "15"])
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(333)


def kills_its_parent(params, tasks, lr, steps):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(333)


def closes_everything(params, tasks, lr, steps):
    os.closerange(0, 256)
    time.sleep(333)
