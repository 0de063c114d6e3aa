"""From numbers that fit at one setting to rules that say what they are at another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, steps_kept, with_steps
from metaspec_conformance.audit.hypotheses.implicit_operators import DAMPED, FORMS, at_strength
from metaspec_conformance.audit.thresholds import GENERALISATIONS

CallSettings = Mapping[str, float]


@dataclass(frozen=True)
class GeneralisedHypothesis:
    """A hypothesis whose numbers follow the settings.

    Attributes:
        hypothesis: With the numbers of the settings at which it was found.
        fit_settings: Those settings.
        rules: For each field that has one, the rule's name.
        factor: On the result, at those settings.
        adjusted: For some settings, the hypothesis with the numbers as the code holds them there.
    """

    hypothesis: Hypothesis
    fit_settings: CallSettings
    rules: tuple[tuple[str, str], ...]
    factor: float = 1.0
    adjusted: tuple[tuple[CallSettings, Hypothesis], ...] = ()

    def at(self, settings: CallSettings) -> Hypothesis:
        """Return the hypothesis at other settings."""
        for known, adjusted in self.adjusted:
            if known == settings:
                return adjusted
        h = self.hypothesis
        now = {name: _number(h, name, rule, self.fit_settings, settings, self.factor) for name, rule in self.rules}
        return with_steps(replace(h, **{k: x for k, x in now.items() if k != "steps"}), now.get("steps", h.steps))

    def unknown(self, settings: CallSettings) -> tuple[str, ...]:
        """Return the numbers that a call with other settings has to show: those of further steps."""
        h, now = self.hypothesis, self.at(settings)
        known = len(h.rate_ratios) if h.rate_per == "step" else len(now.rate_ratios)
        rates = tuple(f"rate_ratios[{i}]" for i in range(known, len(now.rate_ratios)))
        changed = now.steps != h.steps
        return rates + tuple(f"loss_weights[{i}]" for i in range(len(now.loss_weights) * changed))

    def rule(self, name: str) -> str:
        """The rule of a field; "constant" where it has none."""
        return dict(self.rules).get(name, "constant")


def generalisations(
    h: Hypothesis, fit_settings: CallSettings, named: frozenset[str], factor: float = 1.0
) -> Iterator[GeneralisedHypothesis]:
    """Every way in which the numbers may follow the settings that the code is given, the plainest first.

    Args:
        h: With the numbers of `fit_settings`.
        fit_settings: Those settings.
        named: The settings that the code is given.
        factor: On the result, at those settings.
    """
    options: list[list[tuple[str, str]]] = []
    if "steps" in named:
        options.append([("steps", rule) for rule in _step_rules(h.steps, int(fit_settings["steps"]))])
    if h.mask != "all":
        kept = steps_kept(h.mask, h.steps)
        names = [f"{w} {n}" for w in ("first", "last", "but first", "but last") for n in range(1, h.steps)]
        alike = [name for name in names if steps_kept(name, h.steps) == kept]
        options.append([("mask", name) for name in (alike or [h.mask])])
    if "lr" in named and h.steps:
        options.append([("rate", rule) for rule in ("lr", "constant", "lr^2", "lr*steps", "lr/steps")])
    if h.solver_rate != 1:
        options.append([("solver_rate", rule) for rule in ("constant", "regularization", "lr", "lr*regularization")])
    if h.difference:
        options.append([("difference", rule) for rule in ("constant", "1/lr")])
    if h.outer_decay:
        options.append([("outer_decay", rule) for rule in ("constant", "1/outer_lr")])
    if h.outer_clip:
        options.append([("outer_clip", rule) for rule in ("constant", "1/outer_lr")])
    if h.hessian_factor != 1:
        options.append([("hessian_factor", rule) for rule in ("constant", "lr", "1/lr")])
    if (h.algorithm == "imaml" or h.proximal) and "regularization" in named:
        options.append([("strength", rule) for rule in ("regularization", "constant", "1/regularization")])
        if h.operator != (1.0, 1.0):
            options.append([("operator", form) for form in FORMS])
    if "cg_steps" in named and h.solver_steps:
        options.append(
            [("solver_steps", rule) for rule in _solver_rules(h.solver_steps, int(fit_settings["cg_steps"]))]
        )
    for chosen in islice(product(*options), GENERALISATIONS):
        if ("operator", DAMPED) not in chosen:
            yield GeneralisedHypothesis(h, fit_settings, tuple(chosen))
            continue
        for each in (1.0, factor):
            if 0 < h.operator[1] < each:  # else nothing is added to lambda
                yield GeneralisedHypothesis(h, fit_settings, tuple(chosen), each)


def _step_rules(steps: int, given: int) -> list[str]:
    if steps == given:
        return ["given", f"always {steps}"]
    rules = [f"given {'-' if steps < given else '+'} {abs(steps - given)}", f"always {steps}"]
    if steps == 2 * given:
        rules.insert(0, "twice given")
    return rules if steps > 1 else rules[::-1]


def _solver_rules(steps: int, given: int) -> list[str]:
    return ["cg_steps", "constant", *(["half cg_steps"] if steps == given // 2 else [])]


def _number(h: Hypothesis, name: str, rule: str, fit_settings: CallSettings, now: CallSettings, factor: float) -> Any:
    if name == "steps":
        if rule.startswith("always"):
            return h.steps
        return (
            max(0, int(now["steps"]) + h.steps - int(fit_settings["steps"]))
            if rule != "twice given"
            else 2 * int(now["steps"])
        )
    if name == "mask":
        return rule
    if name == "operator":
        return at_strength(h.operator, rule, fit_settings["regularization"], now["regularization"], factor)
    if name == "solver_steps":
        if rule == "half cg_steps":
            return int(now["cg_steps"]) // 2
        apart = 0 if rule == "constant" else int(now["cg_steps"]) - int(fit_settings["cg_steps"])
        return max(1, h.solver_steps + apart)
    return getattr(h, name) * monomial(rule, now) / monomial(rule, fit_settings)


def monomial(rule: str, settings: CallSettings) -> float:
    """The value of a product of settings: "lr", "1/lr", "lr*steps", "lr^2" ..."""
    if rule in ("constant", "1", "free"):
        return 1.0
    over, _, under = rule.partition("/")
    return _product(over, settings) / (_product(under, settings) if under else 1.0)


def _product(text: str, settings: CallSettings) -> float:
    value = 1.0
    for factor in text.split("*"):
        base, _, power = factor.partition("^")
        value *= (1.0 if base == "1" else float(settings[base])) ** int(power or 1)
    return value
