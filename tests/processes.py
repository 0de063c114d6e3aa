"""What a command under test started."""

import time
from pathlib import Path


def children(pid: int) -> list[str]:
    """The ids of the processes that this one started, where the system says so (Linux)."""
    return [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def awaited_children(pid: int, seconds: float = 60) -> list[str]:
    """Those it has started by the time that there is one."""
    deadline = time.monotonic() + seconds
    while not children(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return children(pid)


def alive(pid: str) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()
