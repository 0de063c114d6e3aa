"""The class that an adapter's tests inherit from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from metaspec_conformance.pytest_plugin.expected import Expected, unknown
from metaspec_conformance.pytest_plugin.options import dtypes_of, pattern_of
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase, cases
from metaspec_conformance.pytest_plugin.running import TIMEOUT, Running
from metaspec_conformance.pytest_plugin.verdict import Note, conclude


class BackendConformance:
    """One pytest test for each check of the conformance suite and each format, and one for the expected failures.

    Attributes:
        backend: A registered name or "module:attribute", which is run in a worker process; or a metaspec.Backend or its
            class, which is run in the test process.
        dtypes: Only these formats; all that it is registered with where empty.
        scenarios: Only checks whose id has this pattern (shell style), or contains it; all where empty.
        expected_failures: Reasons by a check's id, "compiled/maml", or with its format, "compiled/maml[float32]". An
            entry whose check passes fails, so does one that names no check; one without a reason is an error.
        timeout: Seconds for one check.

    Example:
        >>> from metaspec_conformance.pytest_plugin import BackendConformance
        >>> class TestMine(BackendConformance):
        ...     backend = "mine"
    """

    backend: ClassVar[Any] = ""
    dtypes: ClassVar[tuple[str, ...]] = ()
    scenarios: ClassVar[str] = ""
    expected_failures: ClassVar[Mapping[str, str]] = MappingProxyType({})
    timeout: ClassVar[float] = TIMEOUT

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give `test_conforms` its cases."""
        if "case" in metafunc.fixturenames:
            found = cases(self.backend, self.dtypes or dtypes_of(metafunc.config), self.scenarios)
            chosen = pattern_of(metafunc.config)
            among = cases(self.backend, (), chosen) if chosen else found
            metafunc.parametrize("case", [case for case in found if case in among], ids=lambda case: case.id)

    def test_conforms(
        self, metaspec_running: Running, case: CheckCase, metaspec_expected: Expected, record_property: Note
    ) -> None:
        """The check holds on the backend."""
        conclude(metaspec_running, case, metaspec_expected, record_property)

    def test_expected_failures_name_checks(self, metaspec_expected: Expected) -> None:
        """Every entry names a check."""
        wrong = unknown(metaspec_expected)
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)
