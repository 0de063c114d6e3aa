"""Losses in users' style, drawn in four languages: every backend and form gives what plain NumPy's differences give."""

import pytest

from tests.random_losses.counting import WRONG, outcomes
from tests.random_losses.loss_trial import Trial, sources

FAST = {"numpy": 40, "torch": 4, "jax": 1, "tensorflow": 1}  # losses in the default run: compilers take seconds for one


def wrong(seed: int, backend: str) -> str:
    found = [(form, words) for _, form, outcome, words in outcomes(seed, [backend]) if outcome == WRONG]
    return f"{found}\n{sources(seed)[backend]}" if found else ""


def test_some_losses(backend: str) -> None:
    assert not "".join(wrong(seed, backend) for seed in range(FAST[backend]))


@pytest.mark.soak
@pytest.mark.parametrize("seeds", range(100))
def test_a_thousand_losses(backend: str, seeds: int) -> None:
    assert not "".join(wrong(seed, backend) for seed in range(10 * seeds, 10 * seeds + 10))


def test_a_wrong_derivative_is_seen() -> None:
    trial = Trial(0)
    trial.single[0].delta["w"][0, 0] += 1e-4
    with pytest.raises(AssertionError, match="differences"):
        trial._against_differences()
    forms = dict(trial.forms("numpy"))
    forms["gradient"]()
    for form in ("eager", "batched", "compiled"):
        with pytest.raises(AssertionError, match="apart"):
            forms[form]()
