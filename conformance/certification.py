"""The certification list: every check that `metaspec verify` runs, in a fixed order."""

from fnmatch import fnmatchcase
from functools import cache

from metaspec.conformance.evidence import Check
from metaspec.conformance.laws import certified_laws
from metaspec.conformance.scenarios import certified


@cache
def certification() -> tuple[Check, ...]:
    """Every scenario, then every law on its scenarios; ids are unique."""
    return (*certified(), *certified_laws())


def matching(pattern: str) -> tuple[Check, ...]:
    """The checks whose id has the pattern (shell style), or contains it."""
    return tuple(check for check in certification() if pattern in check.id or fnmatchcase(check.id, pattern))
