"""The validation stage: candidates have to explain fresh problems with other settings, to the digits of the format."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.audit_state import AuditState
from metaspec_conformance.audit.calls.counted_calls import Caller, ObservedCall
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.problem_data import CallInputs
from metaspec_conformance.audit.findings.audit_verdicts import judged
from metaspec_conformance.audit.findings.confirming import Confirmation, ConfirmedHypothesis, direction
from metaspec_conformance.audit.hypotheses.combining import Combined
from metaspec_conformance.audit.hypotheses.expectation import Expectation, deviations, name_of
from metaspec_conformance.audit.hypotheses.hypothesis import ALGORITHMS, canonical
from metaspec_conformance.audit.search.search import Search
from metaspec_conformance.audit.thresholds import CANDIDATES, NUDGE, SAME_NUMBER, VALIDATION_FACTOR, VALIDATION_SETTINGS


def validate(caller: Caller, state: AuditState, whole: ObservedCall, searched: Sequence[ObservedCall]) -> None:
    """Hold the candidates against fresh calls.

    Fills `validation_calls`, `explanation`, `others`, `judgements`, `indistinguishable` and `narrow`.

    Raises:
        FailedError: A call gave nothing.
    """
    harness = caller.harness
    assert state.search is not None
    unexplained = state.combined is not None and state.combined.rule is None
    tasks = (0,) if unexplained else whole.inputs.tasks
    for seed, settings in enumerate(VALIDATION_SETTINGS, start=1):
        state.validation_calls.append(caller(CallInputs(seed, tasks, settings, whole.inputs.equal)))
    confirm = _confirmation(harness, state, searched[0].inputs, None if unexplained else state.combined)
    _choose(state, state.search, confirm)
    if state.explanation is None:
        if state.fits:
            state.elsewhere = confirm.remains(state.fits[0])
        return
    fresh = state.validation_calls[0]
    for call in (fresh,) if unexplained else (fresh, whole):
        _judge(harness, state, state.explanation, call)
    state.indistinguishable = _indistinguishable(state.search, state.explanation, confirm)
    if any(judgement.format != harness.dtype for judgement in state.judgements):
        state.narrow = _is_narrow(caller, state, state.explanation, fresh)


def _confirmation(harness: AuditHarness, state: AuditState, inputs: CallInputs, how: Combined | None) -> Confirmation:
    """Return what holds a fit against the validation calls."""
    assert state.search is not None
    residual = max(VALIDATION_FACTOR * state.search.screen, 20 * state.fits[0].residual)
    takes_rate = state.reading == "params" and harness.signature.names & {"outer_lr", "optimizer"}
    factor, keep = "outer_lr" if takes_rate else None, state.search.targets[0].keep
    return Confirmation(harness, how, inputs, state.validation_calls, state.reading, keep, residual, factor)


def _choose(state: AuditState, search: Search, confirm: Confirmation) -> None:
    """Take the simplest candidate that is confirmed, and the others that are as simple."""
    codes = {fit.hypothesis: deviations(fit.hypothesis, search.expected) for fit in state.fits[:CANDIDATES]}
    least: tuple[int, ...] | None = None
    for fit in state.fits[:CANDIDATES]:
        rank = search.rank(fit)
        if least is not None and rank > least:
            break
        found = confirm(fit)
        if found is None:
            continue
        if state.explanation is None:
            state.explanation, least = found, rank
        elif codes[fit.hypothesis] != codes[state.explanation.generalised.hypothesis]:
            state.others.append(found)
        elif found.residual < 0.01 * state.explanation.residual:
            state.explanation = found  # the same deviations with numbers that fresh problems bear out


def later_algorithm(harness: AuditHarness, state: AuditState, call: ObservedCall) -> str | None:
    """Return the algorithm in its textbook form that explains one call, as far as it is one."""
    if state.search is None or state.explanation is None:
        return None
    delta, explanation = call.delta(harness, state.reading), state.explanation
    assert delta is not None
    own, predictor = explanation.generalised.hypothesis, harness.predictor(call.inputs)
    keep = state.search.targets[0].keep
    for algorithm in ALGORITHMS:
        h = replace(own, algorithm=algorithm)
        v = direction(h, explanation.outer_sum, explanation.combined, call.inputs, predictor, explanation.scale)[keep]
        scale = float(v @ delta[keep]) / float(v @ v)
        if np.linalg.norm(delta[keep] - scale * v) <= state.search.screen * np.linalg.norm(delta[keep]):
            return algorithm
    return None


def _judge(harness: AuditHarness, state: AuditState, explanation: ConfirmedHypothesis, call: ObservedCall) -> None:
    """Hold the explanation against one call by the error model."""
    delta = call.delta(harness, state.reading)
    assert delta is not None

    def compute(seed: int | None) -> Any:
        objective = harness.exact_objective(call.inputs, seed)
        predicted = explanation.predicted(call.inputs, harness.predictor(call.inputs, objective))
        for leaf in state.ignored:
            predicted[objective.slices[leaf]] = 0
        return predicted

    predicted = compute(None)
    length = np.sum(predicted * predicted)
    factor = np.sum(predicted * delta) / length if length else np.longdouble(1)
    origin = call.origin(harness) if state.reading == "params" else None
    objective = harness.objective(call.inputs)
    judgement = judged(
        delta, lambda seed: factor * compute(seed), objective, harness.dtype, origin, harness.wide_reference
    )
    state.judgements.append(judgement)


def _is_narrow(caller: Caller, state: AuditState, explanation: ConfirmedHypothesis, call: ObservedCall) -> bool:
    """Return whether the code computes in a narrower format, rather than by difference quotients.

    Narrow arithmetic does not see a small change of the parameters; a difference quotient follows it.
    """
    harness, reading = caller.harness, state.reading
    after, before = caller.nudged(call, NUDGE).delta(harness, reading), call.delta(harness, reading)
    assert after is not None
    assert before is not None
    predictor = harness.predictor(call.inputs)
    moved = replace(predictor, phi=predictor.phi * (1 + NUDGE), _paths={})
    here, there = (explanation.predicted(call.inputs, each) for each in (predictor, moved))
    return float(np.linalg.norm(after - before - (there - here))) > 0.5 * float(np.linalg.norm(there - here))


def _indistinguishable(search: Search, explanation: ConfirmedHypothesis, confirm: Confirmation) -> tuple[str, ...]:
    """Return the other algorithms that, without any deviation, explain all calls as well, with the same factor."""
    own = explanation.generalised.hypothesis
    e = search.expected
    free = Expectation(None, e.steps, e.rate, e.strength, e.cg_steps)
    if name_of(own) == "gradient" or deviations(own, free):
        return ()
    found = set()
    for fit in search.candidates():
        h = fit.hypothesis
        plain = canonical(h.algorithm, h.steps, h.rate, h.strength, h.solver_steps)
        if h.algorithm == own.algorithm or h != plain or deviations(h, free) or h.steps != own.steps:
            continue
        other = confirm(fit)
        if other is None:
            continue
        if e.factor is None or abs(other.scale - explanation.scale) <= SAME_NUMBER * abs(explanation.scale):
            found.add(name_of(h))
    return tuple(sorted(found))
