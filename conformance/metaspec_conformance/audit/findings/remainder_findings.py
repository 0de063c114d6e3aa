"""Findings on what remains beside the hypothesis: the factor, the combination of the tasks, the digits."""

from metaspec_conformance.audit.findings.deviation_text import operator_factor, operator_text
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.thresholds import SAME_NUMBER
from metaspec_conformance.judging import error_model


def add_factor_findings(draft: ReportDraft, h: Hypothesis) -> None:
    """Add the factor that remains: the outer reduction, the outer rate, the sign, or one that nothing explains."""
    explanation = draft.state.explanation
    assert explanation is not None
    scale, expected, rule = explanation.scale, draft.expected.factor, explanation.scale_rule
    reduction = "mean"
    if explanation.outer_sum:
        reduction, goal = "sum over examples", 1.0 if expected is None else expected
        for n in draft.objective.entries(0):
            if abs(abs(scale) / (goal * n) - 1) < draft.same_factor:
                reduction, scale = "sum over entries", scale / n
        draft.add("outer-sum", f"the outer loss is a {reduction}; the factor grows with their number")
    draft.found["outer_reduction"] = reduction if h.algorithm != "reptile" else None
    if scale < 0:
        draft.add("sign", "the result points the other way")
    if expected is None:
        draft.found["outer_lr"], draft.found["scale"] = abs(scale), 1.0 if scale > 0 else -1.0
        return
    factor = abs(scale) / expected
    follows = draft.state.reading == "params" and draft.harness.signature.names & {"outer_lr", "optimizer"}
    right = "outer_lr" if follows else "constant"
    if operator_factor(draft, h) != (1.0, 0):
        draft.found["operator"], draft.found["scale"] = [x / factor for x in h.operator], 1.0
        draft.add("operator", operator_text(draft, h))  # once, where the operator deviates too
        return
    draft.found["scale"] = scale / expected
    if h.every == "weighted":
        return  # the weights are told, whatever their sum
    if h.every and rule == "1/steps" and abs(factor * h.steps - 1) < draft.same_factor:
        return  # the mean over the steps
    if abs(factor - 1) > draft.same_factor or rule != right:
        follow = "" if rule in (right, "constant") else f", which follows {rule.replace('outer_lr', 'the outer rate')}"
        draft.add("scale", f"the result is {scale / expected:.6g} times what it should be{follow}")


def add_task_findings(draft: ReportDraft) -> None:
    """Add how the tasks are combined, where it is not the mean (or the sum that was meant)."""
    state, combined = draft.state, draft.state.combined
    carried = combined.carried if combined is not None else None
    draft.found["carried"] = "parameters" if carried == "path" else carried
    draft.found["task_reduction"] = combined.rule if combined is not None else None
    if combined is None:
        return
    if (combined.carried or (combined.rule is None and state.order_matters)) and state.repetition != "random":
        left = {
            "parameters": "each task begins at the adapted parameters of the one before it",
            "path": "each task begins at the adapted parameters of the one before it",
            "updates": "each task begins after an outer update by the one before it",
            "state": "the inner optimiser's state goes on from task to task",
        }.get(combined.carried or "", "the order of the tasks changes the result")
        draft.add("task-state", left)
    elif combined.rule is None and state.repetition != "random":
        draft.add("task-weights", "the result is no weighted sum of what the tasks give one by one: a median, say")
    wanted = "sum" if draft.expected.sums else "mean"
    if combined.rule in (None, wanted):
        return
    if combined.rule in ("sum", "mean"):
        draft.add("task-sum", f"the result is the {combined.rule} over the tasks; the {wanted} was meant")
    elif state.explanation is not None or combined.rule != "weights":  # what is not explained may weigh nothing alike
        largest = max(abs(w) for w in combined.weights)
        shown = ", ".join(f"{w if abs(w) > SAME_NUMBER * largest else 0:.4g}" for w in combined.weights)
        by = "their place in the list" if state.order_matters and combined.rule == "weights" else combined.rule
        draft.add("task-weights", f"the tasks weigh {shown} ({by})")


def add_precision_findings(draft: ReportDraft) -> None:
    """Add how many digits are right, where they are fewer than the format holds."""
    judgements, state = draft.state.judgements, draft.state
    formats = [j.format for j in judgements]
    narrow = [
        n
        for n in state.calls[0].observed.dtypes
        if error_model.ROUNDOFF.get(n, 0) > error_model.ROUNDOFF[draft.harness.dtype]
    ]
    known = [f for f in formats if f is not None]
    widest = max(known, key=lambda f: error_model.ROUNDOFF[f], default=draft.harness.dtype)
    format_ = None if None in formats or not (draft.state.narrow or widest == draft.harness.dtype) else widest
    draft.found["precision"] = narrow[0] if narrow else format_
    lost = None in formats or widest != draft.harness.dtype
    if draft.holds_to_fitted_digits:
        return
    if lost or narrow:
        digits = min(j.digits for j in judgements)
        what = f"the result is in {', '.join(narrow)}; " if narrow else ""
        text = f"{what}{digits:.1f} digits are right, of what {draft.harness.dtype} holds"
        mixed = bool(draft.harness.autocast)
        smooth = not (narrow or state.narrow or mixed)
        text += "; the error is smooth, as of difference quotients or an inexact solve" if smooth else ""
        draft.add("precision", text, note=smooth or mixed)
