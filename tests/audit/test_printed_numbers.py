"""What is found is printed: rates listed one by one, solvers with their rate, operators with their numbers."""

from collections.abc import Callable
from typing import Any

import pytest

import metaspec as ms
from tests.audit.code import own_numbers
from tests.audit.code.own_numbers import exact, implicit, reptile, richardson


def faults(report: Any) -> list[str]:
    return [f"{finding.code}: {finding.text}" for finding in report.findings if finding.severity == "fault"]


def test_rates_by_step_are_listed() -> None:
    report = ms.audit(own_numbers.rates_by_step, claim="maml")
    assert faults(report) == ["inner-rate: the inner rates are one for each step: 0.05, 0.1, 0.02"], str(report)


@pytest.mark.parametrize(("joined", "part"), [(True, "both"), (False, "support")])
def test_a_minibatched_reptile_is_named_with_its_batches(joined: bool, part: str) -> None:
    report = ms.audit(reptile(3, joined), claim="reptile", framework="numpy")
    assert faults(report) == ["minibatches: inner steps see 3 examples each, around the end"], str(report)
    assert (report.algorithm, report.found["inner_data"]) == ("reptile", part)


@pytest.mark.parametrize(("rate", "count"), [(0.3, 5), (0.07, 8)])
def test_a_series_is_printed_with_its_rate_and_its_terms(rate: float, count: int) -> None:
    report = ms.audit(implicit(richardson(rate, count)), claim="imaml", framework="numpy")
    text = f"the system is solved by {count} terms of a Neumann series (Richardson steps) with the rate {rate} on"
    assert faults(report) == [f"solver: {text} I + H/lambda"], str(report)


def test_the_identity_in_place_of_the_inverse_is_t1_t2() -> None:
    report = ms.audit(implicit(lambda H, g, strength: 0.4 * g), claim="imaml", framework="numpy")
    text = "the system is solved with the identity in place of the inverse, as T1-T2 has it"
    assert faults(report) == [f"solver: {text}", "scale: the result is 0.4 times what it should be"], str(report)


OPERATORS: dict[str, Callable[[Any, Any, float], Any]] = {
    "I + H/(lambda + 2)": lambda E, H, c: E + H / (c + 2),
    "1.5 I + H/(lambda + 10)": lambda E, H, c: 1.5 * E + H / (c + 10),
    "1.5 I + H/lambda": lambda E, H, c: 1.5 * E + H / c,
    "I + 0.3 H/lambda": lambda E, H, c: E + 0.3 * H / c,
    "I + 0.7 H": lambda E, H, c: E + 0.7 * H,
    "I + lambda H": lambda E, H, c: E + c * H,
    "lambda I + H": lambda E, H, c: c * E + H,
    "lambda I + 0.4 I + H": lambda E, H, c: (c + 0.4) * E + H,
    "I + 0.4 I/lambda + H/lambda": lambda E, H, c: ((c + 0.4) * E + H) / c,
}


@pytest.mark.parametrize("written", OPERATORS)
def test_an_operator_is_printed_with_its_numbers(written: str) -> None:
    report = ms.audit(implicit(exact(OPERATORS[written])), claim="imaml", framework="numpy")
    assert faults(report) == [f"operator: the operator is {written}"], str(report)
