"""Random code is held by its mean: the algorithm that it estimates is named, with what its mean is known to."""

import pytest

import metaspec as ms


def code(name: str):
    pytest.importorskip("torch")
    from tests.audit.code import random_results

    return getattr(random_results, name)


@pytest.mark.parametrize(
    ("name", "framework", "algorithm"),
    [
        ("evolution_strategies", "torch", "maml"),
        ("one_task", "numpy", "maml"),
        ("first_order_with_noise", "numpy", "fomaml"),
    ],
)
def test_the_algorithm_that_a_mean_agrees_with(name: str, framework: str, algorithm: str) -> None:
    report = ms.audit(code(name), claim="maml", framework=framework)
    assert (report.verdict, report.algorithm) == ("consistent", algorithm), str(report)
    assert "random" in report.codes
    assert not report.passed
    assert "its results are random, and their mean agrees with it" in report.sentence
    assert "(standard error)" in str(report)


def test_a_mean_that_no_algorithm_has() -> None:
    report = ms.audit(code("biased"), claim="maml", framework="numpy")
    assert (report.verdict, report.algorithm) == ("none", None), str(report)
    assert {"random", "unexplained"} <= set(report.codes)


def test_calls_that_settle_are_not_random() -> None:
    report = ms.audit(code("settles"), claim="maml", framework="numpy")
    assert (report.verdict, report.algorithm) == ("none", None), str(report)
    assert "random" not in report.codes
    assert {"call-state", "unexplained"} <= set(report.codes)
