"""The audit's own set-up is never the code's fault: labels, losses and batches as the code wants them."""

import importlib

import pytest

import metaspec as ms
from metaspec_conformance.audit import audit_running


def code(name: str):
    pytest.importorskip("torch")
    return getattr(importlib.import_module("tests.audit.code.own_losses"), name)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("negative_log_likelihood", ()),
        ("int32_labels", ("label-format",)),
        ("one_hot", ("label-format",)),
    ],
)
def test_class_labels_come_as_the_criterion_wants_them(name: str, codes: tuple[str, ...]) -> None:
    report = ms.audit(code(name), claim="maml", problem="classification")
    assert (report.verdict, report.algorithm, report.codes) == ("identified", "maml", codes), str(report)
    assert report.passed


def test_code_with_a_loss_of_its_own_is_audited_on_its_own_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_running, "SEARCH_SECONDS", 1.0)  # what the regression problem shows has no explanation
    report = ms.audit(code("cross_entropy"), claim="maml")
    assert (report.algorithm, report.codes, report.passed) == ("maml", ("problem-chosen",), True), str(report)
    assert ms.audit(code("mean_square"), claim="maml").codes == ()


def test_an_error_of_the_code_in_every_format_is_its_own() -> None:
    report = ms.audit(code("always_raises"))
    assert (report.verdict, report.codes) == ("failed", ("raises",)), str(report)
    assert "TypeError: in any case" in report.sentence


@pytest.mark.parametrize("kind", ["target", "number", "matrix"])
@pytest.mark.parametrize(("name", "algorithm"), [("of_problem", "maml"), ("first_order", "fomaml")])
def test_a_loss_without_an_axis_of_examples(kind: str, name: str, algorithm: str) -> None:
    report = ms.audit(code(name), claim="maml", problem=code("problem")(kind))
    assert report.algorithm == algorithm, str(report)
    faults = {finding.code for finding in report.findings if finding.severity == "fault"}
    assert faults == ({"algorithm"} if algorithm == "fomaml" else set()), str(report)
    assert report.passed == (algorithm == "maml"), str(report)
