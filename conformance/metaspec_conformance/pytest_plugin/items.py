"""The suite as pytest items, for backends that the command line names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from metaspec.errors import MetaspecError
from metaspec_conformance.pytest_plugin.expected import Expected, unknown
from metaspec_conformance.pytest_plugin.options import dtypes_of, expected_of, pattern_of, timeout_of
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase, cases
from metaspec_conformance.pytest_plugin.running import Running
from metaspec_conformance.pytest_plugin.verdict import conclude
from metaspec_conformance.workers.targets import resolved


class Suite(pytest.Collector):
    """The checks of one backend; they share a worker process."""

    running: Running
    expected: Expected

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each case of the backend, then one for the list of expected failures."""
        for case in cases(self.name, dtypes_of(self.config), pattern_of(self.config)):
            yield CaseItem.from_parent(self, name=case.id, case=case)
        yield EntriesItem.from_parent(self, name="expected-failures")


def suites(session: pytest.Session, backends: Sequence[str]) -> list[Suite]:
    """One for each backend.

    Raises:
        pytest.UsageError: A wrong name, option or file.
    """
    found = []
    try:
        for backend in resolved(backends):
            suite: Suite = Suite.from_parent(session, name=backend, nodeid=f"metaspec::{backend}")
            suite.add_marker("metaspec")
            suite.running = Running(backend, timeout_of(session.config))
            suite.expected = expected_of(session.config, backend)
            cases(backend, dtypes_of(session.config), pattern_of(session.config))
            found.append(suite)
    except (MetaspecError, OSError) as error:
        raise pytest.UsageError(str(error)) from None
    return found


class _Item(pytest.Item):
    parent: Suite

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.config.rootpath, None, f"{self.parent.name} {self.name}"


class CaseItem(_Item):
    """One check in one format."""

    def __init__(self, *, case: CheckCase, **options: Any) -> None:
        super().__init__(**options)
        self.case = case

    def runtest(self) -> None:
        """Run it, and judge."""

        def note(name: str, value: object) -> None:
            self.user_properties.append((name, value))

        conclude(self.parent.running, self.case, self.parent.expected, note)


class EntriesItem(_Item):
    """Every entry of the expected failures names a check."""

    def runtest(self) -> None:
        """Name those that do not."""
        wrong = unknown(self.parent.expected)
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)
