"""How much memory a call needs at most, as the operating system sees it: the same for every framework."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # proc(5), clear_refs


def peak_bytes(run: Callable[[], Any], calls: int = 1) -> int | None:
    """The most resident memory during a call beyond what was resident before; None where there is no Linux /proc.

    What allocators hold in reserve is given back first, so that it is seen again when it is used. They keep some of it
    all the same, and not the same at every call: of several calls, the most is nearest to what a call needs.
    """
    try:
        return max(_growth(run) for _ in range(calls))
    except OSError:
        return None


def resident_bytes() -> int:
    """The resident memory of this process, once what is garbage and what allocators hold in reserve is given back.

    Raises:
        OSError: There is no Linux /proc.
    """
    _give_back()
    return _status("VmRSS")


def _growth(run: Callable[[], Any]) -> int:
    _give_back()
    (PROCESS / "clear_refs").write_text(RESET_PEAK)
    before = _status("VmRSS")
    run()
    return max(0, _status("VmHWM") - before)


def _give_back() -> None:
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int:
    for line in (PROCESS / "status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"no {name} in {PROCESS / 'status'}")
