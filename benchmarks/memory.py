"""How much memory a call needs at most, as the operating system sees it: the same for every framework."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # proc(5), clear_refs


def peak_bytes(run: Callable[[], Any]) -> int | None:
    """The most resident memory during a call beyond what was resident before; None where there is no Linux /proc.

    What allocators hold in reserve is given back first, so that it is seen again when it is used.
    """
    _give_back()
    try:
        (PROCESS / "clear_refs").write_text(RESET_PEAK)
        before = _status("VmRSS")
        run()
        return max(0, _status("VmHWM") - before)
    except OSError:
        return None


def resident_bytes() -> int:
    """The resident memory of this process, once what is garbage and what allocators hold in reserve is given back.

    Raises:
        OSError: There is no Linux /proc.
    """
    _give_back()
    return _status("VmRSS")


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
