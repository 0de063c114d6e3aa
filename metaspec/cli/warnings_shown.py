"""Warnings and figures that are no numbers, as a command tells them."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from metaspec.training import EvaluationReport

NOT_FINITE = 1  # exit status of a command whose figures are NaN or infinite


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show a warning as `warning: message` on standard error, without a file and a line that the user did not write."""
    with warnings.catch_warnings():

        def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
            print(f"warning: {message}", file=sys.stderr)

        warnings.showwarning = show
        yield


def exit_status(reports: Mapping[str, EvaluationReport]) -> int:
    """Return the exit status for these figures, and say on standard error which are not finite."""
    for name, report in reports.items():
        if not report.finite:
            print(f"error: {name}: {report.diagnosis}", file=sys.stderr)
    return 0 if all(report.finite for report in reports.values()) else NOT_FINITE
