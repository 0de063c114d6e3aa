"""Gradients of learned inputs, and the members that have them, against metaspec's own."""

from typing import Any

import pytest

import metaspec as ms


def meta_sgd(params: Any, tasks: Any, loss: Any, rates: Any, steps: int) -> Any:
    return ms.batch_meta_gradient(ms.MetaSGD(0.1, steps), loss, ms.Meta(params, {"lr": rates}), tasks).delta


def doubled(params: Any, tasks: Any, loss: Any, rates: Any, steps: int) -> Any:
    delta = meta_sgd(params, tasks, loss, rates, steps)
    return delta.params, {name: 2 * leaf for name, leaf in delta.learned["lr"].items()}


def maml_plus_plus(params: Any, tasks: Any, loss: Any, step_rates: Any, steps: int) -> Any:
    return ms.batch_meta_gradient(ms.MAMLPlusPlus(0.1, steps), loss, ms.Meta(params, {"lr": step_rates}), tasks).delta


def sigma_maml(params: Any, tasks: Any, loss: Any, sigma: Any, lr: float, steps: int) -> Any:
    algo = ms.SigmaMAML(ms.GradientDescent(lr, steps))
    return ms.batch_meta_gradient(algo, loss, ms.Meta(params, {"sigma": sigma}), tasks).delta


def sigma_imaml(params: Any, tasks: Any, loss: Any, sigma: Any, lr: float, steps: int, cg_steps: int) -> Any:
    algo = ms.SigmaIMAML(ms.GradientDescent(lr, steps), solver=ms.ConjugateGradient(steps=cg_steps))
    return ms.batch_meta_gradient(algo, loss, ms.Meta(params, {"sigma": sigma}), tasks).delta


@pytest.mark.parametrize(
    ("code", "claim", "codes"),
    [
        (meta_sgd, "meta-sgd", ()),
        (doubled, "meta-sgd", ("learned-gradient",)),
        (maml_plus_plus, "maml++", ()),
        (sigma_maml, "sigma-maml", ()),
        (sigma_imaml, "sigma-imaml", ()),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_gradients_of_learned_inputs_are_checked(code: Any, claim: str, codes: tuple[str, ...]) -> None:
    report = ms.audit(code, claim=claim)
    assert (report.algorithm, report.codes) == (claim, codes), str(report)
    if codes:
        assert "the gradient of rates is 2 times what it should be" in report.findings[0].text
