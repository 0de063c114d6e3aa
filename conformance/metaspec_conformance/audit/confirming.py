"""Fresh problems and other settings, which had no part in finding the explanation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.audit.audit_verdicts import relative
from metaspec_conformance.audit.combining import Combined, chained, weights
from metaspec_conformance.audit.fitting import Fit
from metaspec_conformance.audit.generalising import Ruled, generalisations, monomial
from metaspec_conformance.audit.harness import Bench, Setup
from metaspec_conformance.audit.hypothesis import Hypothesis
from metaspec_conformance.audit.landscape import Landscape, Vector
from metaspec_conformance.audit.prediction import Predictor
from metaspec_conformance.audit.search_targets import Seen

MONOMIALS = (
    "constant",
    *("1/regularization", "regularization", "1/lr", "lr", "1/steps", "steps", "1/lr*steps", "lr*steps"),
    *("outer_lr", "1/outer_lr", "outer_lr*lr", "lr^2", "1/cg_steps"),
)


@dataclass(frozen=True)
class Explanation:
    """A hypothesis with its rules, the factor and its rule, and how the tasks are combined.

    Attributes:
        ruled: What one task gives.
        outer_sum: Whether the outer loss is a sum over its examples.
        scale: The factor at home.
        scale_rule: How it follows the settings.
        combined: How tasks are combined; None where only one went in at a time.
        residual: The worst on the fresh problems.
    """

    ruled: Ruled
    outer_sum: bool
    scale: float
    scale_rule: str
    combined: Combined | None
    residual: float

    def factor(self, settings: Any) -> float:
        """The factor at other settings."""
        return self.scale * monomial(self.scale_rule, settings) / monomial(self.scale_rule, self.ruled.home)

    def said(self, setup: Setup, land: Landscape, phi: Vector) -> Vector:
        """What it says of a call, the factor included."""
        h = self.ruled.at(setup.settings)
        return self.factor(setup.settings) * shape(h, self.outer_sum, self.combined, setup, land, phi, self.scale)


def shape(
    h: Hypothesis,
    outer_sum: bool,
    how: Combined | None,
    setup: Setup,
    land: Landscape,
    phi: Vector,
    scale: float = 1.0,
) -> Vector:
    """What a hypothesis says of a call, up to the factor."""
    if how is not None and how.carried is not None and len(setup.tasks) > 1:
        weight = how.weights[0] * len(setup.tasks) if how.rule == "mean" else how.weights[0]
        total = chained(h, land, phi, setup.tasks, how.carried, scale)
        return weight * total / (len(setup.tasks) if how.rule == "mean" else 1)
    predictor = Predictor(land, phi)
    parts = []
    for task in setup.tasks:
        v = predictor.update(h, task)
        parts.append(v * land.examples(task, h.outer_data) if outer_sum else v)
    if how is None or len(parts) == 1:
        return sum(parts[1:], parts[0])
    sizes = [(land.examples(i, "support"), land.examples(i, "query")) for i in setup.tasks]
    rule = how.rule or "mean"
    with_weights = zip(weights(rule, sizes, how.weights), parts, strict=True)
    return sum((float(w) * v for w, v in with_weights), np.zeros_like(parts[0]))


def confirmed(
    bench: Bench,
    fit: Fit,
    how: Combined | None,
    home: Setup,
    fresh: Sequence[Seen],
    reading: str,
    keep: Any,
    named: frozenset[str],
    screen: float,
    expected_factor: Any,
) -> Explanation | None:
    """The generalisation of a fit that explains the fresh calls too; None where none does."""
    for ruled in generalisations(fit.hypothesis, home.settings, named):
        scales, worst = [(home.settings, fit.scale)], 0.0
        for seen in fresh:
            land, setup = bench.land(seen.setup), seen.setup
            phi, delta = bench.phi(setup, land), seen.delta(bench, reading)
            assert delta is not None
            with np.errstate(all="ignore"):
                said = shape(ruled.at(setup.settings), fit.outer_sum, how, setup, land, phi, fit.scale)
            length, vanishes = float(np.dot(said[keep], said[keep])), not np.any(delta[keep])
            if length == 0 and vanishes:
                continue  # as it should be, and nothing is learned of the factor
            if not np.isfinite(length) or length == 0 or vanishes:
                worst = np.inf
                break
            scale = float(np.dot(said[keep], delta[keep]) / length)
            worst = max(worst, relative(delta, scale * said, keep))
            scales.append((setup.settings, scale))
            if not worst <= screen:
                break
        if not worst <= screen:
            continue
        rule = _scale_rule(scales, expected_factor, max(10 * screen, 1e-8))
        if rule is not None:
            return Explanation(ruled, fit.outer_sum, fit.scale, rule, how, worst)
    return None


def _scale_rule(scales: Sequence[tuple[Any, float]], expected: Any, close: float) -> str | None:
    """How the factor follows the settings: first as it should, then otherwise."""
    for rule in (*((expected,) if expected else ()), *MONOMIALS):
        values = [scale / monomial(rule, settings) for settings, scale in scales]
        if max(abs(v / values[0] - 1) for v in values) <= close:
            return rule
    return None
