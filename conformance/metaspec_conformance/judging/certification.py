"""The certification list: every check that `metaspec verify` runs, in a fixed order."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from functools import cache

from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.laws import LawCheck, certified_laws
from metaspec_conformance.laws.members.required_members import ORDER
from metaspec_conformance.scenarios.certified import certified


@cache
def certification() -> tuple[Check, ...]:
    """Return every check, causes first: laws of the protocol's members, then scenarios, then all other laws.

    Ids are unique.
    """
    return tuple(sorted((*certified(), *certified_laws()), key=_rank))


def _rank(check: Check) -> int:
    """Return the place of a check: required members in the order in which to write them, other members, the rest."""
    if not isinstance(check, LawCheck):
        return len(ORDER) + 1
    if check.law in ORDER:
        return ORDER.index(check.law)
    return len(ORDER) + (0 if check.law.startswith("capability/") else 2)


def matching(pattern: str, among: Sequence[Check] | None = None) -> tuple[Check, ...]:
    """The checks of the list, or of those given, whose id has the pattern (shell style), or contains it."""
    checks = certification() if among is None else among
    return tuple(check for check in checks if pattern in check.id or fnmatchcase(check.id, pattern))


def formats(check: Check, there: Collection[str]) -> tuple[str, ...]:
    """Return the available formats that the check asks for; where there are none, the widest available."""
    own = tuple(dtype for dtype in check.dtypes if dtype in there)
    return own or tuple(dtype for dtype in ("float64", "float32") if dtype in there)[:1]
