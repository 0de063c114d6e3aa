"""Candidates held against fresh calls: other problems and settings, which had no part in finding them."""

from collections.abc import Callable, Iterator, Sequence
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
from metaspec_conformance.audit.search.fitting import Fit
from metaspec_conformance.audit.search.free_numbers import newton_move, numbers, with_numbers
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


@dataclass(frozen=True)
class Confirmation:
    """Validation calls, of fresh problems with other settings, that a fit has to explain with the rules of its numbers.

    Attributes:
        harness: Gives the objectives.
        combined: How the tasks are combined.
        inputs: Of the calls that fits were found on.
        calls: The validation calls.
        reading: How results are read.
        keep: The entries that count.
        residual: What may remain of each call.
        expected_factor: How the factor should follow the settings; tried first.
    """

    harness: AuditHarness
    combined: Combined | None
    inputs: CallInputs
    calls: Sequence[ObservedCall]
    reading: str
    keep: Any
    residual: float
    expected_factor: str | None

    def __call__(self, fit: Fit) -> ConfirmedHypothesis | None:
        """Return the first generalisation of a fit that explains the validation calls too; None where none does."""
        factor = fit.scale / monomial(self.expected_factor or "constant", self.inputs.settings)
        for generalised in self._generalisations(fit, factor):
            scales, worst = [(self.inputs.settings, fit.scale)], 0.0
            for call in self.calls:
                generalised = self._with_further_numbers(generalised, fit, call)
                scale, remains = self._explained(generalised, fit, call)
                if self.residual < remains <= LOST_DIGITS:
                    generalised = self._with_adjusted(generalised, fit, call)
                    scale, remains = self._explained(generalised, fit, call)
                worst = max(worst, remains)
                if not worst <= self.residual:
                    break
                if scale is not None:
                    scales.append((call.inputs.settings, scale))
            if not worst <= self.residual:
                continue
            rule = _scale_rule(scales, self.expected_factor, max(10 * self.residual, SAME_NUMBER))
            if rule is None and fit.hypothesis.every == "weighted":
                rule = "free"  # weights may have any sum, another for each number of steps
            if rule is not None:
                return ConfirmedHypothesis(generalised, fit.outer_sum, fit.scale, rule, self.combined, worst)
        return None

    def remains(self, fit: Fit) -> tuple[str, ...]:
        """Return what a fit leaves on each validation call, and with which inner rate it leaves least there."""
        generalised, found = next(self._generalisations(fit)), []
        for call in self.calls:
            settings, named = call.inputs.settings, self.harness.signature.names
            h, left = generalised.at(settings), self._explained(generalised, fit, call)[1]
            text = f"{left:.1e} at " + ", ".join(f"{k} {v:g}" for k, v in settings.items() if k in named)
            move = newton_move(h, ("rate",), *self._held(fit, call)) if h.steps else None
            if move is not None:
                moved = with_numbers(h, ("rate",), [h.rate + float(np.clip(move[0], -h.rate / 2, h.rate))])
                less = self._explained(replace(generalised, adjusted=((settings, moved),)), fit, call)[1]
                text += f" ({less:.1e} with the rate {moved.rate:.4g})" if less < left else ""
            found.append(text)
        return tuple(found)

    def _generalisations(self, fit: Fit, factor: float = 1.0) -> Iterator[GeneralisedHypothesis]:
        return generalisations(fit.hypothesis, self.inputs.settings, self.harness.signature.names, factor)

    def _held(self, fit: Fit, call: ObservedCall) -> tuple[Callable[[Hypothesis], Vector], Vector]:
        """Return what a hypothesis predicts of the entries of one call that count, up to the factor, and these."""
        predictor, delta = self.harness.predictor(call.inputs), call.delta(self.harness, self.reading)
        assert delta is not None

        def predict(h: Hypothesis) -> Vector:
            with np.errstate(all="ignore"):
                return direction(h, fit.outer_sum, self.combined, call.inputs, predictor, fit.scale)[self.keep]

        return predict, delta[self.keep]

    def _explained(
        self, generalised: GeneralisedHypothesis, fit: Fit, call: ObservedCall
    ) -> tuple[float | None, float]:
        """Return the factor that fits one call best, and the relative residual that it leaves.

        Where both the prediction and the result vanish nothing is learned of the factor: (None, 0).
        """
        predict, seen = self._held(fit, call)
        predicted = predict(generalised.at(call.inputs.settings))
        length, vanishes = float(np.dot(predicted, predicted)), not np.any(seen)
        if length == 0 and vanishes:
            return None, 0.0
        if not np.isfinite(length) or length == 0 or vanishes:
            return None, np.inf
        scale = float(np.dot(predicted, seen) / length)
        return scale, relative(seen, scale * predicted, ...)

    def _with_further_numbers(
        self, generalised: GeneralisedHypothesis, fit: Fit, call: ObservedCall
    ) -> GeneralisedHypothesis:
        """Return the hypothesis with the numbers of further steps, rates or weights, as one call shows them."""
        settings = call.inputs.settings
        fields = generalised.unknown(settings)
        if not fields:
            return generalised
        for start in (1, -1):  # rates in the reverse order are almost as good, and a minimum of their own
            h = generalised.at(settings)
            h = with_numbers(h, fields, numbers(h, fields)[::start])
            for _ in range(FURTHER_ROUNDS):
                move = newton_move(h, fields, *self._held(fit, call))
                if move is None:
                    break
                h = with_numbers(h, fields, np.array(numbers(h, fields)) + np.clip(move, -1, 1))
            generalised = replace(generalised, adjusted=((settings, h), *generalised.adjusted))
            if self._explained(generalised, fit, call)[1] <= LOST_DIGITS:
                break
        return generalised

    def _with_adjusted(self, generalised: GeneralisedHypothesis, fit: Fit, call: ObservedCall) -> GeneralisedHypothesis:
        """Return the hypothesis with its numbers as the code holds them at one call's settings, where these explain."""
        settings = call.inputs.settings
        h = adjusted(generalised.at(settings), *self._held(fit, call), self.residual)
        return generalised if h is None else replace(generalised, adjusted=(*generalised.adjusted, (settings, h)))


def _scale_rule(scales: Sequence[tuple[Any, float]], expected: Any, close: float) -> str | None:
    """Return the first rule that the factors at all settings follow; None where none does."""
    for rule in (*((expected,) if expected else ()), *MONOMIALS):
        values = [scale / monomial(rule, settings) for settings, scale in scales]
        if max(abs(v / values[0] - 1) for v in values) <= close:
            return rule
    return None
