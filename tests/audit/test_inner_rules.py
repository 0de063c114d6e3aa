"""Inner update rules: the pull-back against differences of the steps themselves, and against PyTorch's optimisers."""

import numpy as np
import pytest

from metaspec_conformance.audit.hypotheses.hypothesis import steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import Rule

STEP = 2.0**-20
RULES = [
    Rule("momentum", (0.9,)),
    Rule("nesterov", (0.9,)),
    Rule("adam", (0.9, 0.999, 1e-3, 0.0)),
    Rule("adam", (0.5, 0.9, 1e-3, 1.0)),
    Rule("normalised"),
    Rule("clipped", (0.5, 1e-6)),
    Rule("clipped", (50.0, 0.0)),
    Rule("clipped entries", (0.7,)),
    Rule("sign"),
]


def run(rule: Rule, gradients: list) -> np.ndarray:
    state, total = rule.begin(gradients[0]), np.zeros_like(gradients[0])
    for t, g in enumerate(gradients, start=1):
        u, state = rule.advance(t, g, state)
        total = total + t * u
    return total


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_pull_back_is_the_derivative_of_the_steps(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    gradients, v = list(rng.normal(size=(3, 5))), rng.normal(size=5)
    states = [rule.begin(v)]
    for t, g in enumerate(gradients, start=1):
        states.append(rule.advance(t, g, states[-1])[1])
    after, pulled = rule.begin(v), [v] * 3
    for k in reversed(range(3)):
        pulled[k], after = rule.pull(k + 1, gradients[k], states[k], (k + 1) * v, after)
    for k in range(3):
        for i in range(5):
            moved = [[g + s * STEP * (j == k) * np.eye(5)[i] for j, g in enumerate(gradients)] for s in (1, -1)]
            slope = (v @ run(rule, moved[0]) - v @ run(rule, moved[1])) / (2 * STEP)
            assert pulled[k][i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("rule", "name", "options"),
    [
        (Rule("momentum", (0.9,)), "SGD", {"momentum": 0.9}),
        (Rule("nesterov", (0.9,)), "SGD", {"momentum": 0.9, "nesterov": True}),
        (Rule("adam", (0.9, 0.999, 1e-8, 0.0)), "Adam", {}),
    ],
)
def test_the_steps_are_those_of_torch(rule: Rule, name: str, options: dict) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    theta = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer, state, moved = (
        getattr(torch.optim, name)([theta], lr=0.1, **options),
        rule.begin(np.zeros(4)),
        np.zeros(4),
    )
    for t in range(1, 4):
        g = rng.normal(size=4)
        theta.grad = torch.tensor(g)
        optimizer.step()
        u, state = rule.advance(t, g, state)
        moved = moved - 0.1 * u
        assert np.allclose(moved, theta.detach().numpy(), rtol=1e-14, atol=1e-15)


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
