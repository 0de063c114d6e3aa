"""The laws: every clause of SPEC.md as something that runs. `LAWS` is the table, one module a topic."""

from metaspec_conformance.laws import (  # each enters its laws into the table
    batches,  # noqa: F401
    capabilities,  # noqa: F401
    chain,  # noqa: F401
    choice,  # noqa: F401
    chunks,  # noqa: F401
    closed_forms,  # noqa: F401
    derivatives,  # noqa: F401
    draws,  # noqa: F401
    dtypes,  # noqa: F401
    elementwise,  # noqa: F401
    expansions,  # noqa: F401
    implicit,  # noqa: F401
    kinks,  # noqa: F401
    limits,  # noqa: F401
    member_derivatives,  # noqa: F401
    members,  # noqa: F401
    memory,  # noqa: F401
    moreau,  # noqa: F401
    namespace,  # noqa: F401
    one_example,  # noqa: F401
    outer,  # noqa: F401
    purity,  # noqa: F401
    scaling,  # noqa: F401
    solving,  # noqa: F401
    sources,  # noqa: F401
    speed,  # noqa: F401
    training,  # noqa: F401
    trees,  # noqa: F401
    unrolled,  # noqa: F401
    wrong_input,  # noqa: F401
)
from metaspec_conformance.laws.law import LAWS, Law
from metaspec_conformance.laws.law_check import Lawful

__all__ = ["LAWS", "Law", "Lawful", "certified_laws"]


def certified_laws() -> tuple[Lawful, ...]:
    """Every law on its scenarios, in the order of the table."""
    return tuple(Lawful(name, scenario) for name, law in LAWS.items() for scenario in law.scenarios())
