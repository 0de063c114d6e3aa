"""Warnings that point at the caller's own line."""

import sys
import warnings

PACKAGES = ("metaspec", "metaspec_conformance")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside of this library, so that Python shows the user's call and filters by it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
