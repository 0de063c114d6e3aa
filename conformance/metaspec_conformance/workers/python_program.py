"""Python programs in a process of their own, for laws that look at what another process does."""

import os
import subprocess
import sys

PRELUDE = "METASPEC_PRELUDE"
"""Environment variable: "module:function" that runs before the program. The suite tests itself with it."""


def run_program(program: str, timeout: float = 100.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a new process.

    Args:
        program: The code.
        timeout: Seconds after which `subprocess.TimeoutExpired` is raised.
        environment: Variables beside this process's own.
    """
    module, _, function = os.environ.get(PRELUDE, "").partition(":")
    prelude = f"from {module} import {function}; {function}()\n" if module else ""
    return subprocess.run(
        [sys.executable, "-P", "-c", prelude + program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
