"""The command line as a process of its own, and what it started."""

import sys
import time
from pathlib import Path

# What `nohup` or a shell's `&` had ignored around the tests would be ignored by the command, too.
_HEEDING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
from metaspec.cli import main
main()
"""
HEEDING_SIGNALS = [sys.executable, "-c", _HEEDING]


def children(pid: int) -> list[str]:
    """The ids of the processes that this one started, where the system says so (Linux)."""
    return [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def awaited_children(pid: int, seconds: float = 60) -> list[str]:
    """Return the child processes of `pid`, once it has started one."""
    deadline = time.monotonic() + seconds
    while not children(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return children(pid)


def alive(pid: str) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()
