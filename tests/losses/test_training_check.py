"""`meta_train` looks at the loss first, and tells of divergence that stays finite, with its cause."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec import data, nn
from metaspec.errors import LossCheckError, LossError, NonFiniteError
from metaspec.training import DivergedError
from metaspec.training.divergence import LossGrowth

NET = nn.MLP((1, 20, 20, 1), activation=nn.tanh)
MAML = ms.MAML(ms.GradientDescent(0.01, 1))


def train(loss: Callable[[Any, Any], Any], algo: Any = MAML, params: Any = None, **options: Any) -> Any:
    params = NET.init(0) if params is None else params
    arguments = {"steps": 2, "tasks_per_step": 3, "backend": "numpy"} | options
    return ms.meta_train(algo, loss, params, data.Sinusoid(), **arguments)


def told(loss: Callable[[Any, Any], Any], algo: Any = MAML, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(loss, algo, **options)
    assert all(warning.filename == __file__ for warning in caught), "a warning points at the caller's line"
    return [str(warning.message) for warning in caught]


def ignores(p: Any, batch: Any) -> Any:
    return np.mean(batch["x"] ** 2)


def test_a_loss_that_ignores_its_parameters_is_an_error_with_a_way_round() -> None:
    with pytest.raises(LossCheckError, match="does not depend on its parameters.*from_model.*check=False") as caught:
        train(ignores)
    assert isinstance(caught.value, LossError)
    assert caught.value.check.findings[0].kind == "ignores-params"  # type: ignore[attr-defined]
    assert train(ignores, check=False).steps == 2


def test_a_random_loss_is_an_error() -> None:
    with pytest.raises(LossCheckError, match="two equal evaluations differ"):
        train(lambda p, b: NET.loss(p, b) * (1 + np.random.rand()))


def test_what_matters_to_maml_alone_is_no_matter_of_fomaml(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    from metaspec.losses import check, finding_messages
    from metaspec.losses.findings import LossCheck

    wrong = LossCheck.of([finding_messages.second_derivative(0.0, 1.0, 1.0, "params")])
    monkeypatch.setattr(check, "check_loss", lambda *args, **options: wrong)
    inner = ms.GradientDescent(0.01, 1)
    for algo in (ms.MAML(inner), ms.IMAML(inner, 2.0)):
        with pytest.raises(LossCheckError, match="silently zero"):
            train(NET.loss, algo)
    with caplog.at_level(logging.INFO, "metaspec"):
        for algo in (ms.FOMAML(inner), ms.Reptile(inner)):
            assert train(NET.loss, algo).steps == 2
    assert "silently zero" in caplog.text


def test_a_good_loss_is_looked_at_once_and_nothing_is_said() -> None:
    assert told(NET.loss, steps=12) == []


def test_an_error_of_the_loss_itself_keeps_its_own_type() -> None:
    with pytest.raises(KeyError, match="lost"):
        train(lambda p, b: p["lost"])
    with pytest.raises(LossError, match="it returned 3"):
        train(lambda p, b: 3)


def test_a_training_that_grows_is_told_once_with_its_cause() -> None:
    quadratic = lambda p, b: 50.0 * np.mean((p["w"] - b["y"]) ** 2)  # noqa: E731  # curvature 100
    start = {"w": np.array(1.0)}
    messages = told(quadratic, ms.MAML(ms.GradientDescent(0.03, 5)), params=start, steps=30)
    assert len(messages) == 1
    assert "before adaptation" in messages[0]
    assert "curvature x learning rate is about 3" in messages[0]
    assert told(quadratic, ms.MAML(ms.GradientDescent(0.019, 5)), params=start, steps=30) == []


def test_an_outer_rate_that_is_too_large_is_told_from_the_inner_loop() -> None:
    quadratic = lambda p, b: np.mean((p["w"] - b["y"]) ** 2)  # noqa: E731  # the outer step is stable below about 1.04
    messages = told(quadratic, params={"w": np.array(1.0)}, steps=40, optimizer=ms.training.SGD(1.3))
    assert len(messages) == 1
    assert "at first: the training diverges" in messages[0]


def test_growth_is_of_magnitudes_and_of_more_than_one_task() -> None:
    growth = LossGrowth()
    rng = np.random.default_rng(0)
    assert all(growth.observe(float(v)) is None for v in np.exp(2 * rng.normal(size=500)))  # tasks differ by factors
    assert LossGrowth().observe(1e30) is None
    growth = LossGrowth()
    found = [growth.observe(10.0 ** (k / 4)) for k in range(30)]
    assert any(found)
    falling = LossGrowth()
    assert not any(falling.observe(10.0 ** (-k / 4)) for k in range(60))


def masked(p: Any, batch: Any) -> Any:
    errors = (batch["x"] * p["w"] - batch["y"]) ** 2
    return np.sum(batch["mask"] * errors) / np.sum(batch["mask"])


@pytest.mark.parametrize("algo", [MAML, ms.FOMAML(ms.GradientDescent(0.1, 1)), ms.Reptile(ms.GradientDescent(0.1, 1))])
def test_a_query_loss_that_is_nan_is_not_finite(algo: Any) -> None:
    x, y = np.ones(4), np.zeros(4)
    whole, none = ({"x": x, "y": y, "mask": np.full(4, m)} for m in (1.0, 0.0))
    p, task = {"w": np.array(1.0)}, ms.Task(whole, none)
    finite = ms.compile(lambda p, t: ms.meta_gradient(algo, masked, p, t).diagnostics.finite)
    assert not bool(finite(p, task))
    with pytest.raises(NonFiniteError, match="query loss at its end is nan.*no valid label"):
        ms.meta_gradient(algo, masked, p, task)


def test_a_root_at_zero_names_the_kink() -> None:
    def norm(p: Any, batch: Any) -> Any:
        return np.sqrt(np.sum(p["w"] ** 2)) + 0 * np.mean(batch["x"])

    p, batch = {"w": np.zeros(2)}, {"x": np.ones(3)}
    for steps, place in ((2, "inner step 1 of 2"), (0, "query loss's gradient")):
        with pytest.raises(NonFiniteError, match=f"{place}.*root or a norm at zero.*epsilon"):
            ms.meta_gradient(ms.MAML(ms.GradientDescent(0.1, steps)), norm, p, ms.Task(batch, batch))


def test_a_training_that_starts_at_a_kink_diverges_with_its_name() -> None:
    with pytest.raises(DivergedError, match="root or a norm at zero"):
        train(lambda p, b: NET.loss(p, b) + np.sqrt(np.sum(p["b0"] ** 2)))


def test_results_that_are_nan_are_told() -> None:
    with pytest.warns(UserWarning, match="before adaptation and nan after it: the inner loop diverges"):
        report = ms.meta_test(
            ms.MAML(ms.GradientDescent(100.0, 50)), NET.loss, NET.init(0), data.Sinusoid(), tasks=4, backend="numpy"
        )
    assert not report.finite
