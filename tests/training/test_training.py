"""The outer loop: learning, resuming, stopping at what is not finite."""

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from metaspec.data import Sinusoid
from metaspec.training import SGD, Adam, meta_test, meta_train

ALGO = ms.MAML(ms.GradientDescent(0.01, 1))


def init(dtype="float64"):
    rng = np.random.default_rng(0)
    sizes = {"w1": (1, 16), "b1": (16,), "w2": (16, 1), "b2": (1,)}
    return {key: (rng.standard_normal(shape) * 0.5).astype(dtype) for key, shape in sizes.items()}


def loss(params, batch):
    xp = ms.array_namespace(params)
    hidden = xp.tanh(batch["x"] @ params["w1"] + params["b1"])
    return xp.mean((hidden @ params["w2"] + params["b2"] - batch["y"]) ** 2)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (SGD, {"lr": 0}),
        (SGD, {"momentum": 1.0}),
        (Adam, {"lr": float("nan")}),
        (Adam, {"b2": -0.1}),
        (Adam, {"eps": 0.0}),
    ],
)
def test_optimizer_arguments(kind, kwargs):
    with pytest.raises(errors.InvalidArgumentError, match=f"{kind.__name__}: {next(iter(kwargs))} must be"):
        kind(**kwargs)


def test_going_on_is_the_same_as_going_through(B):
    kwargs = {"tasks_per_step": 4, "backend": B}
    through = meta_train(ALGO, loss, init(), Sinusoid(dtype="float64"), steps=5, **kwargs)
    half = meta_train(ALGO, loss, init(), Sinusoid(dtype="float64"), steps=3, **kwargs)
    rest = meta_train(ALGO, loss, init(), Sinusoid(dtype="float64"), steps=5, resume=half, **kwargs)
    assert rest.steps == through.steps == 5
    assert [r.query_loss for r in rest.history] == [r.query_loss for r in through.history]
    for key, leaf in through.params.items():
        assert (B.to_numpy(leaf) == B.to_numpy(rest.params[key])).all()


def test_meta_training_learns_to_adapt():
    algo, test = ms.MAML(ms.GradientDescent(0.05, 1)), Sinusoid(stream="test")
    run = meta_train(algo, loss, init("float32"), Sinusoid(), steps=800, optimizer=Adam(1e-2), backend="numpy")
    before = meta_test(algo, loss, init("float32"), test, backend="numpy")
    after = meta_test(algo, loss, run.params, test, backend="numpy")
    assert after.loss_after.mean < 0.6 * before.loss_after.mean
    assert after.loss_after.mean < 0.8 * after.loss_before.mean  # a step of adaptation helps


def test_what_is_not_finite_stops_the_run_and_is_located(B):
    wild = ms.MAML(ms.GradientDescent(1e200, 3))
    with pytest.raises(errors.NonFiniteError, match=r"outer step 0: task \d: the inner loop: .*inner step 2 of 3"):
        meta_train(wild, loss, init(), Sinusoid(dtype="float64"), steps=1, tasks_per_step=2, backend=B)


def test_arguments():
    with pytest.raises(errors.InvalidTypeError, match="task_source needs"):
        meta_train(ALGO, loss, init(), [1, 2], steps=1)
    with pytest.raises(errors.InvalidArgumentError, match="meta_train: steps must be >= 0"):
        meta_train(ALGO, loss, init(), Sinusoid(), steps=-1)
