"""`python -m metaspec_benchmarks.NAME BACKEND`: measurements of one backend, printed as lines of a table."""

import os
import sys
from collections.abc import Callable

from metaspec.errors import MetaspecError


def run(name: str, main: Callable[[str], None]) -> None:
    """Main of the backend that the command line names; a wrong one ends the process with a line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m metaspec_benchmarks.{name} BACKEND")
    try:
        main(sys.argv[1])
    except MetaspecError as error:
        sys.exit(f"error: {error}")
