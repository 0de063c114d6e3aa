"""The laws: every clause of SPEC.md as a check that runs. `LAWS` is the table of all of them.

`framework` says what a law is and how it is judged; every other room holds laws of one subject, which enter the table
when their file is imported. The order of the rooms is the order of reports: members of the protocol come first,
because everything else builds on them.
"""

from importlib import import_module
from pkgutil import iter_modules

from metaspec_conformance.laws.framework.law import LAWS, Law
from metaspec_conformance.laws.framework.law_check import LawCheck

__all__ = ["LAWS", "Law", "LawCheck", "certified_laws"]

for _room in ("members", "derivatives", "algorithms", "family", "execution", "interface", "training"):
    for _file in iter_modules(import_module(f"{__name__}.{_room}").__path__):
        import_module(f"{__name__}.{_room}.{_file.name}")


def certified_laws() -> tuple[LawCheck, ...]:
    """Return every law on each of its scenarios, in the order of the table."""
    return tuple(LawCheck(name, scenario) for name, law in LAWS.items() for scenario in law.scenarios())
