"""The gradients of learned inputs (rates, widths), held against the confirmed hypothesis."""

from typing import Any

import numpy as np

from metaspec_conformance.audit.calls.counted_calls import ObservedCall
from metaspec_conformance.audit.findings.confirming import ConfirmedHypothesis
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.hypotheses.combining import weights
from metaspec_conformance.audit.thresholds import LOST_DIGITS
from metaspec_conformance.judging import error_model


def add_learned_findings(draft: ReportDraft) -> None:
    """Add how the gradients of learned inputs differ from those of the loss that the code minimises."""
    state, explanation = draft.state, draft.state.explanation
    assert explanation is not None
    calls = [*state.calls[:1], *state.validation_calls]
    for name in sorted(draft.expected.given):
        seen: list[Any] = [call.observed.learned.get(name) for call in calls]
        if any(x is None for x in seen):
            draft.add("learned-unchecked", f"the gradient of {name} was not returned, and not checked", note=True)
            continue
        expected = [_expected(draft, explanation, call, name) for call in calls]
        a, b = np.concatenate(seen), np.concatenate(expected)
        size = float(np.linalg.norm(a))
        off = float(np.linalg.norm(a - b)) / size if size else float(np.any(b))
        draft.found[f"{name}_gradient_digits"] = error_model.digits(max(off, 1e-16))
        if off > LOST_DIGITS:
            factor = float(a @ b) / max(float(b @ b), 1e-300)
            alike = float(np.linalg.norm(a - factor * b)) <= LOST_DIGITS * size
            text = f"{factor:.6g} times what it should be" if alike and size else "zero" if not size else "another"
            draft.add("learned-gradient", f"the gradient of {name} is {text} ({off:.1e} off)")


def _expected(draft: ReportDraft, explanation: ConfirmedHypothesis, call: ObservedCall, name: str) -> Any:
    """Return the gradient that goes with the confirmed meta-update of one call."""
    inputs, predictor = call.inputs, draft.harness.predictor(call.inputs)
    h = explanation.generalised.at(inputs.settings)
    objective = predictor.objective
    parts = []
    for task in inputs.tasks:
        v = predictor.learned(h, task)[name]
        parts.append(v * objective.examples(task, h.outer_data) if explanation.outer_sum else v)
    combined = explanation.combined
    how = np.ones(1)
    if combined is not None and len(parts) > 1:
        sizes = [(objective.examples(i, "support"), objective.examples(i, "query")) for i in inputs.tasks]
        how = weights(combined.rule or "mean", sizes, combined.weights)
    total = explanation.factor(inputs.settings) * sum(w * v for w, v in zip(how, parts, strict=True))
    if name == "rates":
        return total
    rows = [total[..., place] for place in objective.slices]
    return np.concatenate([np.reshape(np.sum(row, axis=-1), -1) for row in rows])
