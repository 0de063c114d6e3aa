"""What there is to run: each check in each of its formats, the members that all else needs first."""

from collections.abc import Collection
from dataclasses import dataclass

from metaspec.backend.registry import registrations
from metaspec.errors import InvalidArgumentError
from metaspec_conformance.judging.certification import certification, formats, matching
from metaspec_conformance.judging.evidence import Check

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class CheckCase:
    """One check in one format."""

    check: Check
    dtype: str

    @property
    def id(self) -> str:
        """E.g. member/vjp[float64]."""
        return f"{self.check.id}[{self.dtype}]"


def cases(backend: object, dtypes: Collection[str] = (), pattern: str = "") -> list[CheckCase]:
    """The cases of a backend.

    Args:
        backend: Its name limits the formats to those that it is registered with.
        dtypes: Only these formats; all where empty.
        pattern: Only checks whose id has the pattern (shell style), or contains it.

    Raises:
        InvalidArgumentError: No such format, or no such check.
    """
    for wrong in set(dtypes) - set(DTYPES):
        raise InvalidArgumentError(f"metaspec: dtype {wrong!r} is not one of {', '.join(DTYPES)}")
    checks = matching(pattern) if pattern else certification()
    if not checks:
        raise InvalidArgumentError(f"metaspec: no check's id contains or matches {pattern!r}")
    registered = registrations().get(backend) if isinstance(backend, str) else None
    there = registered.dtypes if registered else DTYPES
    return [
        CheckCase(check, dtype) for check in checks for dtype in formats(check, there) if not dtypes or dtype in dtypes
    ]
