"""Findings on the calls themselves, whatever algorithm they compute."""

import numpy as np

from metaspec_conformance.audit.audit_state import RandomEstimate
from metaspec_conformance.audit.calls.problem_data import LABEL_FORMATS
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.findings.wording import TITLES
from metaspec_conformance.audit.thresholds import FIT_SETTINGS, SAME_NUMBER


def add_call_findings(draft: ReportDraft) -> None:
    """Add what the calls showed: differing repetitions, changed inputs, buffers and settings, missing leaves."""
    state, first = draft.state, draft.state.calls[0].observed
    if state.repetition == "random":
        draft.add("random", _scatter(state.estimate))
    if state.repetition == "call-state":
        draft.add("call-state", "a second, equal call gives a different result")
    if state.switch is not None:
        number, algorithm = state.switch
        what = f", to {TITLES[algorithm]}" if algorithm else ""
        draft.add("annealing", f"the result of equal calls changes at call {number} in a fresh process{what}")
    for name in first.changed:
        if name == "tasks" or state.reading == "meta_gradient" or first.result is not first.moved:
            draft.add("input-changed", f"{name} are not what they were before the call")
    if first.moved is not None and state.reading == "meta_gradient":
        _add_move(draft)
    if first.buffers:
        draft.add("buffers-changed", f"the call changed {', '.join(first.buffers)}")
    settings = [name for name in first.settings if "random" not in name]  # a draw is no setting
    if settings:
        draft.add("globals-changed", f"the call changed {', '.join(settings)}")
    if state.unequal:
        draft.add("unequal-sizes", "tasks of unequal sizes raise an error; tasks of equal sizes were used", note=True)
    if not draft.objective.joins:
        text = "support and query cannot be joined along axis 0 for this loss; no hypothesis with joined sets was tried"
        draft.add("sets-not-joined", text, note=True)
    labels = draft.harness.data.labels
    if labels != LABEL_FORMATS[0]:
        draft.add(
            "label-format", f"class labels were given as {labels}; as {LABEL_FORMATS[0]} the code raises", note=True
        )
    if draft.harness.autocast:
        formats = " and ".join(sorted(draft.harness.autocast))
        text = f"autocast to {formats} was active; the code was examined in float32, as autocast leaves float64 alone"
        draft.add("mixed-precision", text, note=True)
    missing = [i for i in first.missing if i not in state.ignored]
    if missing:
        draft.add("wrong-tree", f"None in place of {draft.leaf_names(missing)}")


def _scatter(estimate: RandomEstimate | None) -> str:
    if estimate is None:
        return "two equal calls give different results, and so do calls that begin afresh"
    one = f"equal calls give different results: one is off their mean by {estimate.spread:.0%} (standard deviation)"
    return f"{one}, the mean of {estimate.calls:,} by {estimate.error:.1%} (standard error)"


def add_zero_leaves(draft: ReportDraft) -> None:
    """Add the leaves that are always exactly zero, although the nearest hypothesis has them otherwise."""
    search = draft.state.search
    nearest = search.nearest(1) if search is not None else []
    if search is None or not nearest or not draft.state.ignored:
        return
    predicted = search.targets[0].predictor.update(nearest[0].hypothesis, search.targets[0].tasks[0])
    real = [i for i in draft.state.ignored if predicted[draft.objective.slices[i]].any()]
    if real:
        draft.add("leaf-ignored", f"the meta-gradient of {draft.leaf_names(real)} is exactly zero, and should not be")


def _add_move(draft: ReportDraft) -> None:
    """Add how a model moved although its gradients are the result: by the outer step, or otherwise."""
    call = draft.state.calls[0]
    move, delta = call.delta(draft.harness, "params"), call.delta(draft.harness, "meta_gradient")
    assert move is not None
    assert delta is not None
    rate = float(np.dot(move, delta) / max(float(np.dot(delta, delta)), 1e-300))
    off = float(np.linalg.norm(move - rate * delta) / np.linalg.norm(move))
    if off < SAME_NUMBER:
        draft.found["outer_lr"] = rate
        claimed = FIT_SETTINGS["outer_lr"] if draft.harness.signature.names & {"outer_lr", "optimizer"} else None
        if claimed is not None and abs(rate / claimed - 1) > SAME_NUMBER:
            draft.add("scale", f"the model moved by {rate:.4g} times the gradient; the outer rate is {claimed:g}")
        return
    sizes = np.abs(move)
    if float(np.max(sizes)) < 1.01 * float(np.min(sizes)) and np.all(np.sign(move) == np.sign(delta)):
        draft.found["outer_optimizer"] = "each entry divided by its size, as in Adam's first step"
        return
    draft.add("input-changed", "the model's parameters after the call are no outer step along the gradient")
