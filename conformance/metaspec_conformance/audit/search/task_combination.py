"""The combination stage: how the result for all tasks is made of the results for single ones."""

from collections.abc import Sequence

import numpy as np

from metaspec_conformance.audit.audit_state import AuditState
from metaspec_conformance.audit.calls.counted_calls import Caller, ObservedCall, spread
from metaspec_conformance.audit.calls.problem_data import CallInputs
from metaspec_conformance.audit.hypotheses.combining import COMBINATIONS, Combined, chained, combined, weights
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.prediction import finished
from metaspec_conformance.audit.search.fitting import Fit
from metaspec_conformance.audit.thresholds import FIT_SETTINGS, SAME_NUMBER, TASK_COMBINATION


def combine_tasks(caller: Caller, state: AuditState, whole: ObservedCall, singles: Sequence[ObservedCall]) -> None:
    """Find how `whole` is made of `singles`; fills `combined` and `order_matters`.

    Raises:
        FailedError: A call gave nothing.
    """
    harness, inputs = caller.harness, whole.inputs
    total = whole.delta(harness, state.reading)
    assert total is not None
    objective = harness.objective(inputs)
    parts = [_alone(caller, state, single, task, inputs) for single, task in zip(singles, inputs.tasks, strict=True)]
    sizes = [(objective.examples(i, "support"), objective.examples(i, "query")) for i in inputs.tasks]
    residual = max(TASK_COMBINATION, 100 * state.fits[0].residual)
    fit = state.fits[0]
    state.combined = _before_the_outer_step(caller, fit, whole, total, sizes) or combined(
        total, parts, sizes, max(SAME_NUMBER, 10 * fit.residual)
    )
    rotated = caller(CallInputs(0, inputs.tasks[1:] + inputs.tasks[:1], FIT_SETTINGS, inputs.equal))
    other = rotated.delta(harness, state.reading)
    assert other is not None
    state.order_matters = spread([total, other]) > residual and state.combined.rule not in ("first", "last")
    explained = state.combined.residual <= residual
    if explained and (not state.order_matters or state.combined.rule == "weights"):
        return
    state.combined = _carried(caller, state, total, whole) or Combined(
        None, state.combined.weights, state.combined.residual
    )


def _alone(caller: Caller, state: AuditState, single: ObservedCall, task: int, inputs: CallInputs) -> Vector:
    """Return one task's result with sets of the sizes that they have beside the other tasks."""
    if single.inputs.equal != inputs.equal:
        single = caller(CallInputs(0, (task,), FIT_SETTINGS, inputs.equal))
    delta = single.delta(caller.harness, state.reading)
    assert delta is not None
    return delta


def _before_the_outer_step(
    caller: Caller, fit: Fit, whole: ObservedCall, total: Vector, sizes: Sequence[tuple[int, int]]
) -> Combined | None:
    """Return the combination of meta-updates that are decayed or clipped only once combined; None where none fits."""
    h, predictor = fit.hypothesis, caller.harness.predictor(whole.inputs)
    if not (h.outer_decay or h.outer_clip):
        return None
    parts = [
        predictor.update(h, task) * (n if fit.outer_sum else 1)
        for task, (_, n) in zip(whole.inputs.tasks, sizes, strict=True)
    ]
    for rule in COMBINATIONS:
        w = weights(rule, sizes)
        predicted = finished(h, sum(x * v for x, v in zip(w, parts, strict=True)), predictor.phi)
        remains = float(np.linalg.norm(total - fit.scale * predicted) / np.linalg.norm(total))
        if remains <= max(SAME_NUMBER, 10 * fit.residual):
            return Combined(rule, tuple(float(x) for x in w), remains)
    return None


def _carried(caller: Caller, state: AuditState, total: Vector, whole: ObservedCall) -> Combined | None:
    """Return the combination in which a task begins with what the one before it left; None where none explains."""
    predictor = caller.harness.predictor(whole.inputs)
    fit, tasks = state.fits[0], whole.inputs.tasks
    for carried in ("parameters", "path", "updates", "state"):
        predicted = chained(fit.hypothesis, predictor, tasks, carried, fit.scale)
        w = float(np.dot(predicted, total) / np.dot(predicted, predicted)) / fit.scale
        if np.linalg.norm(total - w * fit.scale * predicted) <= SAME_NUMBER * np.linalg.norm(total):
            n = len(tasks)
            rule = "mean" if abs(w * n - 1) < SAME_NUMBER else "sum" if abs(w - 1) < SAME_NUMBER else "constant"
            return Combined(rule, (w,) * n, 0.0, carried)
    return None
