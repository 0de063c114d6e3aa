"""Supervisor of one untrusted process: `python -I -S supervisor.py LIFELINE MEMORY FOLDER COMMAND...`.

It starts COMMAND in a session of its own and waits for one of two ends: the command exits, or the descriptor LIFELINE,
whose other end the caller alone holds, is closed, as it is also when the caller is killed by SIGKILL. Either way it
kills all that the command has started, removes FOLDER, and ends as the command did. On Linux it adopts processes whose
parents are gone, so that daemons are found too; elsewhere the command's process group is killed. MEMORY is the limit,
in bytes, of each process's data (0: none). Python's standard library only: it has to start in milliseconds.
"""

import ctypes
import os
import resource
import select
import shutil
import signal
import sys
import time
from contextlib import suppress

LINUX = sys.platform == "linux"
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
PATIENCE = 10.0  # seconds of killing; a process in the middle of a system call of the disk's may outlast them
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(lifeline: int, memory: int, folder: str, command: list[str]) -> int:
    """Run the command until it or the caller ends, and return its wait status."""
    os.mkdir(folder, 0o700)
    _prctl(SET_CHILD_SUBREAPER, 1)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, *ENDS):
        signal.signal(number, lambda number, frame: None)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, memory, own)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # else they would not be closed when the command closes them
        os.dup2(null, standard)
    status = None
    try:
        while status is None:
            ready = select.select([lifeline, ended], [], [])[0]
            if lifeline in ready or set(os.read(ended, 4096)) & set(ENDS):  # the numbers of the signals that came
                break
            status = _reaped(child)
    finally:
        status = _kill_all(child, status)
        _remove(folder)
    return status


def _become(command: list[str], memory: int, supervisor: int) -> None:
    """Replace this process, the supervisor's child, by the command."""
    try:
        os.setsid()
        _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != supervisor:
            return
        os.closerange(3, 64)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *ENDS):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            limit = resource.RLIMIT_DATA if LINUX else resource.RLIMIT_AS
            resource.setrlimit(limit, (memory, memory))
        os.execv(command[0], command)
    finally:
        os._exit(127)


def _reaped(child: int) -> int | None:
    """Reap all that have ended; return the child's wait status if it is among them."""
    status = None
    with suppress(ChildProcessError):
        while True:
            pid, found = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            status = found if pid == child else status
    return status


def _kill_all(child: int, status: int | None) -> int:
    """Kill the command and its descendants; return its wait status."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        left = _descendants()
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        found = _reaped(child)
        status = found if status is None else status
        if not left and status is not None:
            break
        time.sleep(0.002)
    return signal.SIGKILL if status is None else status


def _descendants() -> list[int]:
    """Return the processes that descend from this one, where /proc tells."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if LINUX else ():
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def _remove(folder: str) -> None:
    """Remove a folder, also where what is in it was made unreadable."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_as(status: int) -> None:
    """End this process with another one's wait status."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    end_as(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
