"""The verdict of an audit, its sentence, and the table of hypotheses that come closest."""

from collections.abc import Sequence
from typing import Literal

from metaspec_conformance.audit.findings.audit_report import EvidenceRow, Finding
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.findings.wording import TITLES, joined
from metaspec_conformance.audit.hypotheses.expectation import Expectation, deviations, name_of
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.search.fitting import Fit
from metaspec_conformance.audit.thresholds import SHOWN_DIGITS
from metaspec_conformance.judging import error_model

ROWS = 7  # the five algorithms and two that deviate


def verdict(draft: ReportDraft, algorithm: str | None) -> Literal["identified", "consistent", "none"]:
    """Return the verdict on an audit that found `algorithm` (None: nothing)."""
    state = draft.state
    if algorithm is None:
        return "none"
    if state.estimate is not None:
        return "consistent"
    if (
        state.indistinguishable
        or state.others
        or (state.combined is not None and state.combined.rule is None and not state.order_matters)
    ):
        return "consistent"
    narrow = state.narrow or any(name != draft.harness.dtype for name in state.calls[0].observed.dtypes)
    if draft.holds_to_fitted_digits:
        return "identified"
    if any(j.format is None or (j.format != draft.harness.dtype and not narrow) for j in state.judgements):
        return "consistent"
    return "identified"


def unexplained(draft: ReportDraft) -> str:
    """Return why nothing explains the result."""
    state = draft.state
    if state.estimate is not None:
        return "each call gives another result, and their mean agrees with several algorithms"
    if not state.fits:
        stopped = " (the search ended with its time)" if state.search is not None and state.search.stopped else ""
        return f"no hypothesis explains the result{stopped}"
    left = f"; it leaves {'; '.join(state.elsewhere)}" if state.elsewhere else ""
    return f"what explains one problem does not explain fresh ones with other settings{left}"


def sentence(draft: ReportDraft, found: str, algorithm: str | None, findings: Sequence[Finding]) -> str:
    """Return the verdict in words."""
    claim = draft.claims.algorithm
    ending = f"; claimed {TITLES[claim]}" if claim is not None else ""
    if found == "none" or algorithm is None:
        nearest = [row for row in evidence_rows(draft)[:1] if row.digits >= SHOWN_DIGITS]
        near = f"; nearest is {nearest[0].hypothesis}, {nearest[0].digits:.1f} digits" if nearest else ""
        near += " on one problem, but not on others" if near and draft.state.fits else ""
        if draft.state.search is None:
            return f"the result is exactly zero{ending}"
        several = draft.state.estimate.algorithms if draft.state.estimate is not None else ()
        mean = f"; its mean is that of {' or '.join(TITLES[name] for name in several)}" if several else ""
        return f"computes none of these{near}{mean}{ending}"
    if draft.state.estimate is not None:
        return f"estimates {TITLES[algorithm]}: its results are random, and their mean agrees with it{ending}"
    codes = tuple(dict.fromkeys(f.code for f in findings if f.severity == "fault" and f.code != "unexplained"))
    verb = "computes" if found == "identified" else "is consistent with"
    extra = joined(codes)
    body = f"{verb} {TITLES[algorithm]}" + (f" with {extra}" if extra else "")
    if found == "consistent" and draft.state.judgements:
        body += f", to {min(j.digits for j in draft.state.judgements):.1f} digits"
    if draft.state.indistinguishable:
        others = " and ".join(TITLES[name] for name in draft.state.indistinguishable)
        body += f"; this problem cannot tell it from {others}"
    return body + ending


def evidence_rows(draft: ReportDraft) -> tuple[EvidenceRow, ...]:
    """Return the hypotheses that come closest, and every algorithm as it is written, the best first."""
    search = draft.state.search
    if search is None:
        return ()
    rows: dict[str, EvidenceRow] = {}
    best = [draft.state.explanation.generalised.hypothesis] if draft.state.explanation else []
    fits = [search.tried[h] for h in best if h in search.tried]
    plain = [fit for fit in search.tried.values() if not deviations(fit.hypothesis, Expectation())]
    named: dict[str, Fit] = {}
    for fit in sorted(plain, key=lambda fit: fit.residual):
        named.setdefault(name_of(fit.hypothesis), fit)
    for fit in [*fits, *search.nearest(2), *named.values()]:
        shown = phrase(fit.hypothesis, deviations(fit.hypothesis, draft.expected, draft.objective.entries(0)))
        if fit.residual < float("inf") and shown not in rows and len(rows) < ROWS:
            digits = error_model.digits(fit.residual)
            rows[shown] = EvidenceRow(shown, fit.scale, fit.cosine, fit.residual, min(digits, 16.0))
    return tuple(sorted(rows.values(), key=lambda row: row.residual))


def phrase(h: Hypothesis, codes: Sequence[str]) -> str:
    """Return a hypothesis as an algorithm's name and the codes of its deviations."""
    words = [code for code in codes if code != "algorithm"]
    return TITLES[name_of(h)] + (f" + {', '.join(words)}" if words else "")
