"""Candidates held against fresh calls: other problems and settings, which had no part in finding them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec_conformance.audit.calls.counted_calls import ObservedCall
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.problem_data import CallInputs
from metaspec_conformance.audit.findings.audit_verdicts import relative
from metaspec_conformance.audit.hypotheses.combining import Combined, chained, weights
from metaspec_conformance.audit.hypotheses.generalising import GeneralisedHypothesis, generalisations, monomial
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.hypotheses.prediction import Predictor, finished
from metaspec_conformance.audit.search.fitting import Fit, newton_move, numbers, with_numbers
from metaspec_conformance.audit.search.number_formats import adjusted
from metaspec_conformance.audit.thresholds import LOST_DIGITS, SAME_NUMBER

FURTHER_ROUNDS = 12  # of Gauss and Newton's method, on the numbers of steps that the first problem did not have
MONOMIALS = (
    "constant",
    *("1/regularization", "regularization", "1/lr", "lr", "1/steps", "steps", "1/lr*steps", "lr*steps"),
    *("outer_lr", "1/outer_lr", "outer_lr*lr", "lr^2", "1/cg_steps"),
)


@dataclass(frozen=True)
class ConfirmedHypothesis:
    """A hypothesis with its rules, the factor and its rule, and how the tasks are combined.

    Attributes:
        generalised: What one task gives.
        outer_sum: Whether the outer loss is a sum over its examples.
        scale: The factor at the settings of the fit.
        scale_rule: How it follows the settings.
        combined: How tasks are combined; None where only one went in at a time.
        residual: The worst on the fresh problems.
    """

    generalised: GeneralisedHypothesis
    outer_sum: bool
    scale: float
    scale_rule: str
    combined: Combined | None
    residual: float

    def factor(self, settings: Any) -> float:
        """Return the factor at other settings."""
        return (
            self.scale * monomial(self.scale_rule, settings) / monomial(self.scale_rule, self.generalised.fit_settings)
        )

    def predicted(self, inputs: CallInputs, predictor: Predictor) -> Vector:
        """Return what it predicts of a call, the factor included."""
        h = self.generalised.at(inputs.settings)
        return self.factor(inputs.settings) * direction(h, self.outer_sum, self.combined, inputs, predictor, self.scale)


def direction(
    h: Hypothesis,
    outer_sum: bool,
    combined: Combined | None,
    inputs: CallInputs,
    predictor: Predictor,
    scale: float = 1.0,
) -> Vector:
    """Return what a hypothesis predicts of a call, up to the factor."""
    return finished(h, _combined(h, outer_sum, combined, inputs, predictor, scale), predictor.phi)


def _combined(
    h: Hypothesis,
    outer_sum: bool,
    combined: Combined | None,
    inputs: CallInputs,
    predictor: Predictor,
    scale: float,
) -> Vector:
    """Return the tasks' meta-updates combined, before an outer optimiser changes them."""
    if combined is not None and combined.carried is not None and len(inputs.tasks) > 1:
        weight = combined.weights[0] * len(inputs.tasks) if combined.rule == "mean" else combined.weights[0]
        total = chained(h, predictor, inputs.tasks, combined.carried, scale)
        return weight * total / (len(inputs.tasks) if combined.rule == "mean" else 1)
    objective = predictor.objective
    parts = []
    for task in inputs.tasks:
        v = predictor.update(h, task)
        parts.append(v * objective.examples(task, h.outer_data) if outer_sum else v)
    if combined is None or len(parts) == 1:
        return sum(parts[1:], parts[0])
    sizes = [(objective.examples(i, "support"), objective.examples(i, "query")) for i in inputs.tasks]
    rule = combined.rule or "mean"
    with_weights = zip(weights(rule, sizes, combined.weights), parts, strict=True)
    return sum((float(w) * v for w, v in with_weights), np.zeros_like(parts[0]))


def confirmed(
    harness: AuditHarness,
    fit: Fit,
    combined: Combined | None,
    inputs: CallInputs,
    validation_calls: Sequence[ObservedCall],
    reading: str,
    keep: Any,
    residual: float,
    expected_factor: str | None,
) -> ConfirmedHypothesis | None:
    """Return the first generalisation of a fit that explains the validation calls too; None where none does.

    Args:
        harness: Gives the objectives.
        fit: The hypothesis with its numbers.
        combined: How the tasks are combined.
        inputs: Of the calls that the fit was found on.
        validation_calls: Of fresh problems with other settings.
        reading: How results are read.
        keep: The entries that count.
        residual: What may remain of each call.
        expected_factor: How the factor should follow the settings; tried first.
    """
    trial = _Trial(harness, fit, combined, reading, keep)
    for generalised in generalisations(fit.hypothesis, inputs.settings, harness.signature.names):
        scales, worst = [(inputs.settings, fit.scale)], 0.0
        for call in validation_calls:
            generalised = trial.with_further_numbers(generalised, call)
            scale, remains = trial.explained(generalised, call)
            if residual < remains <= LOST_DIGITS:
                generalised = trial.with_adjusted(generalised, call, residual)
                scale, remains = trial.explained(generalised, call)
            worst = max(worst, remains)
            if not worst <= residual:
                break
            if scale is not None:
                scales.append((call.inputs.settings, scale))
        if not worst <= residual:
            continue
        rule = _scale_rule(scales, expected_factor, max(10 * residual, SAME_NUMBER))
        if rule is None and fit.hypothesis.every == "weighted":
            rule = "free"  # weights may have any sum, another for each number of steps
        if rule is not None:
            return ConfirmedHypothesis(generalised, fit.outer_sum, fit.scale, rule, combined, worst)
    return None


@dataclass(frozen=True)
class _Trial:
    """What is held against each validation call.

    Attributes:
        harness: Gives the objectives.
        fit: The hypothesis with its numbers.
        combined: How the tasks are combined.
        reading: How results are read.
        keep: The entries that count.
    """

    harness: AuditHarness
    fit: Fit
    combined: Combined | None
    reading: str
    keep: Any

    def delta(self, call: ObservedCall) -> Vector:
        """Return what a call returned."""
        delta = call.delta(self.harness, self.reading)
        assert delta is not None
        return delta

    def predictions(self, call: ObservedCall) -> Callable[[Hypothesis], Vector]:
        """Return what a hypothesis predicts of a call, up to the factor, as a function of the hypothesis."""
        fit, inputs, predictor = self.fit, call.inputs, self.harness.predictor(call.inputs)
        return lambda h: direction(h, fit.outer_sum, self.combined, inputs, predictor, fit.scale)

    def explained(self, generalised: GeneralisedHypothesis, call: ObservedCall) -> tuple[float | None, float]:
        """Return the factor that fits one call best, and the relative residual that it leaves.

        Where both the prediction and the result vanish nothing is learned of the factor: (None, 0).
        """
        keep, delta, predict = self.keep, self.delta(call), self.predictions(call)
        with np.errstate(all="ignore"):
            predicted = predict(generalised.at(call.inputs.settings))
        length, vanishes = float(np.dot(predicted[keep], predicted[keep])), not np.any(delta[keep])
        if length == 0 and vanishes:
            return None, 0.0
        if not np.isfinite(length) or length == 0 or vanishes:
            return None, np.inf
        scale = float(np.dot(predicted[keep], delta[keep]) / length)
        return scale, relative(delta, scale * predicted, keep)

    def with_further_numbers(self, generalised: GeneralisedHypothesis, call: ObservedCall) -> GeneralisedHypothesis:
        """Return the hypothesis with the numbers of further steps, rates or weights, as one call shows them."""
        settings = call.inputs.settings
        fields = generalised.unknown(settings)
        if not fields:
            return generalised
        delta, predict = self.delta(call)[self.keep], self.predictions(call)
        for start in (1, -1):  # rates in the reverse order are almost as good, and a minimum of their own
            h = generalised.at(settings)
            h = with_numbers(h, fields, numbers(h, fields)[::start])
            for _ in range(FURTHER_ROUNDS):
                move = newton_move(h, fields, lambda h: predict(h)[self.keep], delta)
                if move is None:
                    break
                h = with_numbers(h, fields, np.array(numbers(h, fields)) + np.clip(move, -1, 1))
            generalised = replace(generalised, adjusted=((settings, h), *generalised.adjusted))
            if self.explained(generalised, call)[1] <= LOST_DIGITS:
                break
        return generalised

    def with_adjusted(
        self, generalised: GeneralisedHypothesis, call: ObservedCall, residual: float
    ) -> GeneralisedHypothesis:
        """Return the hypothesis with its numbers as the code holds them at one call's settings, if these explain it."""
        settings, predict = call.inputs.settings, self.predictions(call)
        delta = self.delta(call)[self.keep]
        h = adjusted(generalised.at(settings), lambda h: predict(h)[self.keep], delta, residual)
        return generalised if h is None else replace(generalised, adjusted=(*generalised.adjusted, (settings, h)))


def _scale_rule(scales: Sequence[tuple[Any, float]], expected: Any, close: float) -> str | None:
    """Return the first rule that the factors at all settings follow; None where none does."""
    for rule in (*((expected,) if expected else ()), *MONOMIALS):
        values = [scale / monomial(rule, settings) for settings, scale in scales]
        if max(abs(v / values[0] - 1) for v in values) <= close:
            return rule
    return None
