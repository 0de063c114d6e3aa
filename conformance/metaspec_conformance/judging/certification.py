"""The certification list: every check that `metaspec verify` runs, in a fixed order."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from functools import cache

from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.laws import certified_laws
from metaspec_conformance.scenarios.certified import certified


@cache
def certification() -> tuple[Check, ...]:
    """Every scenario, then every law on its scenarios; ids are unique."""
    return (*certified(), *certified_laws())


def matching(pattern: str, among: Sequence[Check] | None = None) -> tuple[Check, ...]:
    """The checks of the list, or of those given, whose id has the pattern (shell style), or contains it."""
    checks = certification() if among is None else among
    return tuple(check for check in checks if pattern in check.id or fnmatchcase(check.id, pattern))


def formats(check: Check, there: Collection[str]) -> tuple[str, ...]:
    """Of the formats that there are those of the check; where it has none of them, the widest that there is."""
    own = tuple(dtype for dtype in check.dtypes if dtype in there)
    return own or tuple(dtype for dtype in ("float64", "float32") if dtype in there)[:1]
