"""The report of an audit, from what its stages found."""

from metaspec_conformance.audit.audit_state import AuditState, Claims
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.observation import Failure
from metaspec_conformance.audit.findings.audit_report import AuditReport, Finding
from metaspec_conformance.audit.findings.call_findings import add_call_findings, add_zero_leaves
from metaspec_conformance.audit.findings.hypothesis_findings import add_hypothesis_findings, algorithm_name
from metaspec_conformance.audit.findings.learned_findings import add_learned_findings
from metaspec_conformance.audit.findings.remainder_findings import (
    add_factor_findings,
    add_precision_findings,
    add_task_findings,
)
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.findings.verdict_text import evidence_rows, phrase, sentence, unexplained, verdict
from metaspec_conformance.audit.findings.wording import FAILED, TITLES
from metaspec_conformance.audit.hypotheses.expectation import deviations


def failure_report(reason: Failure, claims: Claims, calls: int) -> AuditReport:
    """Return the report on code that gave no result to explain."""
    text = f"the code {FAILED[reason.code]}: {reason.text}"
    matches = None if claims.algorithm is None else False
    finding = Finding(reason.code, "fault", reason.text)
    return AuditReport("failed", text, None, claims.algorithm, matches, (finding,), calls=calls)


def conclude(harness: AuditHarness, claims: Claims, state: AuditState, calls: int) -> AuditReport:
    """Return the report on an audit whose stages have ended.

    Args:
        harness: What made the calls.
        claims: What the caller says.
        state: What the stages found.
        calls: How many calls there were.
    """
    draft = ReportDraft(harness, claims, state, found={"result": state.reading, "dtype": harness.dtype})
    add_call_findings(draft)
    h = state.explanation.generalised.hypothesis if state.explanation else None
    algorithm = algorithm_name(draft, h) if h is not None else None
    if h is not None:
        add_hypothesis_findings(draft, h)
        add_factor_findings(draft, h)
        add_precision_findings(draft)
        add_learned_findings(draft)
    elif state.estimate is not None and len(state.estimate.algorithms) == 1:
        algorithm = state.estimate.algorithms[0]
    add_zero_leaves(draft)
    add_task_findings(draft)
    decided = verdict(draft, algorithm)
    if decided == "none":
        draft.add("unexplained", unexplained(draft))
    findings = tuple({(f.code, f.text): f for f in draft.findings}.values())
    return AuditReport(
        decided,
        sentence(draft, decided, algorithm, findings),
        algorithm,
        claims.algorithm,
        _matches(draft, decided, algorithm, findings),
        findings,
        draft.found,
        evidence_rows(draft),
        _alternatives(draft),
        min((judgement.digits for judgement in state.judgements), default=None),
        calls,
    )


def _matches(draft: ReportDraft, decided: str, algorithm: str | None, findings: tuple[Finding, ...]) -> bool | None:
    """Return whether the claim holds; None without a claim."""
    if draft.claims.algorithm is None:
        return None
    faultless = not any(finding.severity == "fault" for finding in findings)
    clear = decided in ("identified", "consistent") and not draft.state.indistinguishable
    return algorithm == draft.claims.algorithm and faultless and clear


def _alternatives(draft: ReportDraft) -> tuple[str, ...]:
    """Return the other explanations, as simple and as good."""
    others = [other.generalised.hypothesis for other in draft.state.others]
    same = [f"{TITLES[name]}: this problem cannot tell it apart" for name in draft.state.indistinguishable]
    return (*(phrase(h, deviations(h, draft.expected)) for h in others), *same)
