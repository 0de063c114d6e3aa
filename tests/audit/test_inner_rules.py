"""Inner update rules: the pull-back against differences of the steps themselves."""

from typing import Any

import numpy as np
import pytest

from metaspec_conformance.audit.hypotheses.hypothesis import steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import TRIED, TriedRule, as_plain

STEP = 2.0**-20
RULES = [
    *{rule.kind: rule for rule in TRIED}.values(),
    TriedRule("adam", (0.9, 0.999, 1e-3, 0.1)),
    TriedRule("amsgrad", (0.5, 0.9, 1e-3, 0.0)),
]


def run(rule: TriedRule, theta: np.ndarray, gradients: list, rates: np.ndarray) -> np.ndarray:
    state = rule.begin(theta)
    for k, g in enumerate(gradients):
        theta, state = rule.advance(k, theta, state, g, rates)
    return theta


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_pull_back_is_the_derivative_of_the_steps(rule: TriedRule) -> None:
    rng = np.random.default_rng(0)
    gradients, v, theta, rates = list(rng.normal(size=(3, 4))), rng.normal(size=4), rng.normal(size=4), np.full(4, 0.3)
    points, states = [theta], [rule.begin(theta)]
    for k, g in enumerate(gradients):
        moved, state = rule.advance(k, points[-1], states[-1], g, rates)
        points.append(moved)
        states.append(state)
    at, carried, pulled, of_rates = v, as_plain(states[-1]), [v] * 3, np.zeros(4)
    for k in reversed(range(3)):
        at, carried, pulled[k], drates = rule.linearize(k, points[k], states[k], gradients[k], rates)(at, carried)
        of_rates = of_rates + drates

    def slope(moved: Any) -> float:
        return float(v @ (moved(STEP) - moved(-STEP))) / (2 * STEP)

    for i, unit in enumerate(np.eye(4)):
        by_rate = slope(lambda h, unit=unit: run(rule, theta, gradients, rates + h * unit))
        assert of_rates[i] == pytest.approx(by_rate, rel=1e-6, abs=1e-8)
        by_start = slope(lambda h, unit=unit: run(rule, theta + h * unit, gradients, rates))
        assert at[i] == pytest.approx(by_start, rel=1e-6, abs=1e-8)
        for k in range(3):

            def shifted(h: float, k: int = k, unit: np.ndarray = unit) -> np.ndarray:
                return run(rule, theta, [g + h * unit * (j == k) for j, g in enumerate(gradients)], rates)

            assert pulled[k][i] == pytest.approx(slope(shifted), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        ("all", "1111"),
        ("first 1", "1000"),
        ("last 2", "0011"),
        ("but first 1", "0111"),
        ("but last 3", "1000"),
        ("0101", "0101"),
    ],
)
def test_masks(mask: str, kept: str) -> None:
    assert steps_kept(mask, 4) == tuple(c == "1" for c in kept)
