"""Errors raised by user code, described in one line with the place in that code."""

import sysconfig
import traceback
from pathlib import Path

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def describe_user_error(error: BaseException) -> str:
    """Return the error's type and message, and the last line of user code in its traceback.

    Code of metaspec (every package whose name starts so), of the standard library and of installed packages is not
    user code.
    """
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
        if not (module.startswith("metaspec") or file.startswith(("<", *LIBRARIES))):
            place = f" ({Path(file).name}, line {line})"
    return " ".join(f"{type(error).__name__}: {error}".split())[:600] + place


def describe_adapter_error(error: BaseException, package: str, most: int = 3) -> str:
    """Return the error's type and message, and the last lines of the adapter's own code in its traceback.

    Args:
        error: What was raised.
        package: Top-level package of the adapter's class; its frames are shown, innermost last.
        most: Greatest number of frames.
    """
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).split(".")[0] == package:
            frames.append(f"{Path(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}")
    place = f" [{' > '.join(frames[-most:])}]" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".split())[:600] + place
