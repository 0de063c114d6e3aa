"""Failures that are known and justified: by the check's id, alone or with its format, each with its reason."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from metaspec.errors import InvalidArgumentError
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase

TABLE = "expected-failures"

Expected = Mapping[str, str]
"""Reasons by "least-squares/maml/steps-3" or, for one format alone, "least-squares/maml/steps-3[float32]"."""


def read(file: Path, backend: str) -> dict[str, str]:
    """The entries of a TOML file: table `expected-failures`, and its table of the backend's name.

    Raises:
        InvalidArgumentError: The file is not TOML, has other tables, or an entry has no reason.
        OSError: It cannot be read.
    """
    try:
        content = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgumentError(f"{file}: {error}") from None
    if other := sorted(set(content) - {TABLE}):
        raise InvalidArgumentError(f"{file}: expected one table, [{TABLE}], got {', '.join(other)}")
    table = content.get(TABLE, {})
    own = table.get(backend, {})
    entries = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return checked(entries | (own if isinstance(own, dict) else {}), str(file))


def checked(entries: Expected, origin: str) -> dict[str, str]:
    """The entries, each with a reason.

    Raises:
        InvalidArgumentError: One has none.
    """
    for name, reason in entries.items():
        if not isinstance(reason, str) or not reason.strip():
            raise InvalidArgumentError(f"{origin}: expected failure {name!r} needs a reason, got {reason!r}")
    return dict(entries)


def reason_of(case: CheckCase, expected: Expected) -> str | None:
    """Why the case is expected to fail; None where it is not."""
    return expected.get(case.id, expected.get(case.check.id))


def unknown(expected: Expected) -> list[str]:
    """What is wrong with entries that name no check."""
    known = {name for check in certification() for name in (check.id, *(f"{check.id}[{d}]" for d in check.dtypes))}
    found = []
    for name in expected:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"expected failure {name!r} names no known check{hint}")
    return found
