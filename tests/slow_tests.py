"""The tests that take long, by measurement: slow.txt names them, one a line.

They are not in the default run; `.ci/run` runs them after it. As a plugin of pytest this measures those that run, and
writes the file anew; the machine should do nothing else:

    python -m pytest -q -n 2 -p tests.slow_tests -m "slow or not slow"
"""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("slow.txt")
SECONDS = 2.5
"""What a test may take in the default run."""
_taken: Counter[str] = Counter()
_skipped: set[str] = set()


@cache
def named() -> frozenset[str]:
    """Return the node ids of the slow tests."""
    return frozenset(FILE.read_text(encoding="utf-8").splitlines())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.add(report.nodeid)
    _taken[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        ran = {name: seconds for name, seconds in _taken.items() if name not in _skipped}
        lines = sorted({name for name in ran if ran[name] > SECONDS} | (named() - ran.keys()))
        FILE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
