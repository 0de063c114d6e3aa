"""The laws: every clause of SPEC.md as something that runs. `LAWS` is the table, one module a topic."""

from metaspec.conformance.laws import batches, closed_forms  # noqa: F401  # each enters its laws into the table
from metaspec.conformance.laws.law import LAWS, Law
from metaspec.conformance.laws.lawful import Lawful

__all__ = ["LAWS", "Law", "Lawful", "certified_laws"]


def certified_laws() -> tuple[Lawful, ...]:
    """Every law on its scenarios, in the order of the table."""
    return tuple(Lawful(name, scenario) for name, law in LAWS.items() for scenario in law.scenarios())
