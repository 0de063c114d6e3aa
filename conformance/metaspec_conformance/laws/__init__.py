"""The laws: every clause of SPEC.md as a check that runs. `LAWS` is the table of all of them.

`framework` says what a law is and how it is judged; every other room holds laws of one subject, and enters them into
the table when it is imported. The order of the rooms is the order of reports: members of the protocol come first,
because everything else builds on them.
"""

# isort: off
from metaspec_conformance.laws import members  # noqa: F401
from metaspec_conformance.laws import derivatives, algorithms, family, execution, interface, training  # noqa: F401
# isort: on

from metaspec_conformance.laws.framework.law import LAWS, Law
from metaspec_conformance.laws.framework.law_check import LawCheck

__all__ = ["LAWS", "Law", "LawCheck", "certified_laws"]


def certified_laws() -> tuple[LawCheck, ...]:
    """Return every law on each of its scenarios, in the order of the table."""
    return tuple(LawCheck(name, scenario) for name, law in LAWS.items() for scenario in law.scenarios())
