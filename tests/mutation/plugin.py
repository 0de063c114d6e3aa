"""Tests inside a process: chosen, ordered, repeatable, ended at the first failure or when they take too long."""

import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

MEMORY = 8 << 30
TEST_PATHS = ("tests/core", "tests/numpy_tracer", "tests/nn", "tests/conformance/test_golden.py")
LEFT_OUT = ("process", "command", "import", "environment", "drift", "third_order")  # other processes, and what is slow
# Plain asserts: to rewrite them pytest reads the sources itself, past the mutant.
OPTIONS = ("-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys", "--no-header")


def chosen(nodeid: str) -> bool:
    return not any(word in nodeid for word in LEFT_OUT)


def make_repeatable() -> None:
    """Hypothesis draws the same examples every time and does not shrink."""
    phases = (Phase.explicit, Phase.generate)
    checks = list(HealthCheck)
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, phases=phases, suppress_health_check=checks
    )
    settings.load_profile("mutation")


def confine() -> None:
    """Ends this process's output, and bounds its memory."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(items: Sequence[pytest.Item]) -> None:
    """Runs the items in their order."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


class Failures:
    """Keeps the names of the tests that fail."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.add(report.nodeid)


class FirstFailure:
    """Writes the name of the first test that fails to a file and ends the process; a test too slow ends it too.

    Args:
        verdict: The file.
        seconds: How long each test takes on sound code.
    """

    def __init__(self, verdict: Path, seconds: dict[str, float]) -> None:
        self.verdict, self.seconds, self.running = verdict, seconds, "collection"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running = nodeid
        self.verdict.write_text(nodeid)
        signal.setitimer(signal.ITIMER_PROF, 3 + 20 * self.seconds[nodeid])  # CPU time; the signal ends the process

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(1)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os._exit(1)

    def pytest_internalerror(self, excrepr: Any) -> None:
        os._exit(1)


class Selection:
    """Keeps the named tests alone, in the order of their names here."""

    def __init__(self, names: Sequence[str]) -> None:
        self.place = {name: i for i, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((x for x in items if x.nodeid in self.place), key=lambda x: self.place[x.nodeid])
