"""What the command line and the ini file say; nothing where the plugin is switched off."""

from pathlib import Path

import pytest

BACKEND, DTYPE, SCENARIOS = "metaspec_backend", "metaspec_dtype", "metaspec_scenarios"
EXPECTED, TIMEOUT = "metaspec_expected_failures", "metaspec_timeout"
UNWRITTEN = "metaspec_unwritten"  # the property of a report that says which members are still to be written


def backends_of(config: pytest.Config) -> list[str]:
    """The backends to certify without a test file."""
    return list(config.getoption(BACKEND, None) or [])


def dtypes_of(config: pytest.Config) -> list[str]:
    """The formats asked for; empty for all."""
    return list(config.getoption(DTYPE, None) or [])


def pattern_of(config: pytest.Config) -> str:
    """The checks asked for; empty for all."""
    return str(config.getoption(SCENARIOS, None) or "")


def timeout_of(config: pytest.Config) -> float:
    """Seconds for one check."""
    return float(config.getoption(TIMEOUT, None) or 120.0)


def expected_of(config: pytest.Config, backend: str) -> dict[str, str]:
    """The expected failures of the file that the command line, else the ini file, names."""
    from metaspec_conformance.pytest_plugin.expected import read

    given = config.getoption(EXPECTED, None)
    if given:
        return read(Path(given), backend)
    named = config.getini(EXPECTED) if config.pluginmanager.hasplugin("metaspec") else ""
    return read(config.rootpath / named, backend) if named else {}
