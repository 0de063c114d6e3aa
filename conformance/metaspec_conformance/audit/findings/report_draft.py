"""A report in the making: what was found, read by the functions that write findings, and the findings so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metaspec_conformance.audit.audit_state import AuditState, Claims, expectation
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.findings.audit_report import Finding
from metaspec_conformance.audit.findings.wording import CAUSES
from metaspec_conformance.audit.hypotheses.expectation import Expectation
from metaspec_conformance.audit.hypotheses.family import Parts, parts_of
from metaspec_conformance.audit.hypotheses.objective import Objective
from metaspec_conformance.audit.thresholds import FIT_SETTINGS, FITTED_DIGITS, SAME_NUMBER


@dataclass
class ReportDraft:
    """The state of a finished audit with the findings and fields that are written about it.

    Attributes:
        harness: What made the calls.
        claims: What the caller says.
        state: What the stages found.
        findings: In the order in which they were added.
        found: The fields of `AuditReport.found`.
    """

    harness: AuditHarness
    claims: Claims
    state: AuditState
    findings: list[Finding] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def expected(self) -> Expectation:
        """The claim at the settings of the fit."""
        return expectation(self.harness, self.claims, FIT_SETTINGS, self.state.reading)

    @property
    def objective(self) -> Objective:
        """The objective of the first call."""
        return self.harness.objective(self.state.calls[0].inputs)

    @property
    def parts(self) -> Parts:
        """The network's head and body."""
        return parts_of(self.objective.names)

    @property
    def same_factor(self) -> float:
        """Relative difference below which factors are equal."""
        return max(SAME_NUMBER, 20 * self.state.fits[0].residual)

    @property
    def holds_to_fitted_digits(self) -> bool:
        """Whether numbers were fitted one by one, which are no more exact, and all but their errors is explained."""
        explanation = self.state.explanation
        fitted = explanation is not None and explanation.generalised.hypothesis.freedom > 0
        return fitted and all(judgement.digits >= FITTED_DIGITS for judgement in self.state.judgements)

    def add(self, code: str, text: str, note: bool = False) -> None:
        """Add a finding: a fault, or with `note` something that need not be one."""
        self.findings.append(Finding(code, "note" if note else "fault", text, CAUSES.get(code, "")))

    def leaf_names(self, leaves: Sequence[int]) -> str:
        """Return the names of leaves, separated by commas."""
        return ", ".join(self.objective.names[i] for i in leaves)
