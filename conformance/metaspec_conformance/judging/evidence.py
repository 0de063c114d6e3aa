"""What a check is held against: a scenario against its reference, a law against itself in extended precision."""

from metaspec_conformance.laws.framework.law import LAWS
from metaspec_conformance.laws.framework.law_check import LawCheck
from metaspec_conformance.laws.framework.law_truth import LawTruth, truths
from metaspec_conformance.laws.framework.law_verdicts import untrue
from metaspec_conformance.oracles.checked import reference_error
from metaspec_conformance.scenarios.reference import Reference, reference
from metaspec_conformance.scenarios.scenario import Scenario

LAW = "the law itself, true in extended precision"

Check = Scenario | LawCheck
Evidence = Reference | dict[str, LawTruth]


def evidence(check: Check) -> tuple[Evidence, str]:
    """The evidence, and why it cannot be trusted ("" if it can)."""
    if isinstance(check, LawCheck):
        found = truths(check) if LAWS[check.law].numeric else {}
        return found, untrue(found)
    return reference(check), reference_error(check) if check.oracle == "extended" else ""
