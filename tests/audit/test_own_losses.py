"""The audit's own set-up is never the code's fault: labels, losses and batches as the code wants them."""

import importlib
from typing import Any

import numpy as np
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


def test_the_truth_does_not_share_second_derivatives_that_a_framework_gets_wrong() -> None:
    """A loss whose backward pass is a constant to PyTorch, as of scripted code: its Hessian is 12 x^2 all the same."""
    torch = pytest.importorskip("torch")
    from metaspec_conformance.audit.hypotheses.objective import Objective

    class Fourth(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**4

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 4 * ctx.saved_tensors[0].detach() ** 3 * g.detach()

    def loss(params: Any, batch: Any) -> Any:
        return Fourth.apply(params["w"]).sum() + 0 * batch.sum()

    w = np.array([0.5, -1.0, 2.0])
    batch = torch.zeros(2, dtype=torch.float64)
    task = ms.Task(batch, batch)
    objective = Objective(ms.get_backend("torch"), loss, {"w": torch.tensor(w)}, [task], "float64")
    assert not objective.twice_differentiable
    assert np.allclose(objective.hessian(0, "support", w), np.diag(12 * w**2), rtol=1e-9, atol=1e-9)
