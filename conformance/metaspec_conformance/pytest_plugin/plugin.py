"""The pytest plugin: `pytest --metaspec-backend NAME` collects the conformance suite without a test file.

pytest loads it in every run where metaspec is installed, so all that costs time is imported when an option asks for it.
"""

from typing import TYPE_CHECKING

import pytest

from metaspec_conformance.pytest_plugin import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metaspec_conformance.pytest_plugin.expected import Expected
    from metaspec_conformance.pytest_plugin.items import Suite
    from metaspec_conformance.pytest_plugin.running import Running

SUITES: "pytest.StashKey[list[Suite]]" = pytest.StashKey()
MARKER = "metaspec: a check of the conformance suite, collected by --metaspec-backend"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("metaspec", "metaspec: conformance of a backend")
    group.addoption(
        "--metaspec-backend",
        dest=options.BACKEND,
        action="append",
        metavar="NAME",
        help="Certify this backend: a registered name, or module:attribute. May be repeated.",
    )
    group.addoption(
        "--metaspec-dtype", dest=options.DTYPE, action="append", metavar="DTYPE", help="Only float32, or only float64."
    )
    group.addoption(
        "--metaspec-scenarios",
        dest=options.SCENARIOS,
        metavar="PATTERN",
        help="Only checks whose id has this pattern (shell style), or contains it.",
    )
    group.addoption(
        "--metaspec-timeout", dest=options.TIMEOUT, type=float, metavar="SECONDS", help="For one check (120)."
    )
    about = "TOML file of expected failures: table [expected-failures], reasons by check id."
    group.addoption("--metaspec-expected-failures", dest=options.EXPECTED, metavar="FILE", help=about)
    parser.addini(options.EXPECTED, about + " Relative to the root folder.")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the suites first; -k and -m then choose among all."""
    backends = options.backends_of(config)
    if backends:
        from metaspec_conformance.pytest_plugin.items import suites

        config.stash[SUITES] = suites(session, backends)
        items[:0] = [item for suite in config.stash[SUITES] for item in suite.collect()]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell the suites what of them was chosen."""
    for suite in session.config.stash.get(SUITES, []):
        suite.running.upcoming = [item.case.check for item in _mine(session, suite) if hasattr(item, "case")]


def _mine(session: pytest.Session, owner: object) -> "list[pytest.Item]":
    """Return the items of a suite or a class that will run here: none is known to a worker of pytest-xdist."""
    items = [] if hasattr(session.config, "workerinput") else session.items
    return [item for item in items if owner in (item.parent, getattr(item, "cls", None))]


@pytest.fixture(scope="class")
def metaspec_running(request: pytest.FixtureRequest) -> "Iterator[Running]":
    """The backend of a BackendConformance at work, ended after the last test of the class."""
    from metaspec_conformance.pytest_plugin.running import Running

    running = Running(request.cls.backend, request.cls.timeout)
    given = [getattr(item, "callspec", None) for item in _mine(request.session, request.cls)]
    running.upcoming = [spec.params["case"].check for spec in given if spec is not None and "case" in spec.params]
    yield running
    running.close()


@pytest.fixture(scope="class")
def metaspec_expected(request: pytest.FixtureRequest) -> "Expected":
    """The class's expected failures and those of the file that the command line or the ini file names."""
    from metaspec_conformance.pytest_plugin.expected import checked

    own = checked(request.cls.expected_failures, f"{request.cls.__name__}.expected_failures")
    return own | options.expected_of(request.config, str(request.cls.backend))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is still to be written, in the order in which to write it."""
    still: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            still |= dict(value for name, value in getattr(report, "user_properties", ()) if name == options.UNWRITTEN)
    for backend, members in sorted(still.items()):
        terminalreporter.section(f"{backend}: still to be written, in this order")
        terminalreporter.write_line(", ".join(members))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the worker processes."""
    for suite in config.stash.get(SUITES, []):
        suite.running.close()
