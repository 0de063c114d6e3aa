"""What a check is held against: a scenario against its reference, a law against itself in extended precision."""

from metaspec.conformance.laws.judging import untrue
from metaspec.conformance.laws.law import LAWS
from metaspec.conformance.laws.lawful import Lawful
from metaspec.conformance.laws.truth import Truth, truths
from metaspec.conformance.oracles.checked import reference_error
from metaspec.conformance.reference import Reference, reference
from metaspec.conformance.scenario import Scenario

LAW = "the law itself, true in extended precision"

Check = Scenario | Lawful
Evidence = Reference | dict[str, Truth]


def evidence(check: Check) -> tuple[Evidence, str]:
    """The evidence, and why it cannot be trusted ("" if it can)."""
    if isinstance(check, Lawful):
        found = truths(check) if LAWS[check.law].numeric else {}
        return found, untrue(found)
    return reference(check), reference_error(check) if check.oracle == "extended" else ""
