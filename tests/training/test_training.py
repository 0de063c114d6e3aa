"""The outer loop: optimisers against their formulas, learning, resuming, stopping at what is not finite."""

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from metaspec.data import Sinusoid
from metaspec.training import SGD, Adam, meta_test, meta_train
from tests.helpers import whole

ALGO = ms.MAML(ms.GradientDescent(0.01, 1))


def init(dtype="float64"):
    rng = np.random.default_rng(0)
    sizes = {"w1": (1, 16), "b1": (16,), "w2": (16, 1), "b2": (1,)}
    return {key: (rng.standard_normal(shape) * 0.5).astype(dtype) for key, shape in sizes.items()}


def loss(params, batch):
    xp = ms.array_namespace(params)
    hidden = xp.tanh(batch["x"] @ params["w1"] + params["b1"])
    return xp.mean((hidden @ params["w2"] + params["b2"] - batch["y"]) ** 2)


def follow(B, optimizer, deltas, start):
    params, state = {"w": B.asarray(start)}, None
    state = optimizer.init(B, params)
    for delta in deltas:
        rate = B.asarray(optimizer.rate(0), dtype="float64")
        params, state = optimizer.update(B, params, state, {"w": B.asarray(delta)}, rate)
    return B.to_numpy(params["w"])


def test_optimizers_follow_their_formulas(B):
    rng = np.random.default_rng(0)
    start, deltas = rng.standard_normal(3), rng.standard_normal((4, 3))
    plain, heavy, momentum = start.copy(), start.copy(), np.zeros(3)
    m, v, adam = np.zeros(3), np.zeros(3), start.copy()
    for t, d in enumerate(deltas, 1):
        plain = plain - 0.1 * d
        momentum = 0.9 * momentum + d
        heavy = heavy - 0.1 * momentum
        m, v = 0.8 * m + 0.2 * d, 0.95 * v + 0.05 * d**2
        adam = adam - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
    with B.precision("float64"):
        np.testing.assert_allclose(follow(B, SGD(0.1), deltas, start), plain, rtol=1e-14)
        np.testing.assert_allclose(follow(B, SGD(0.1, momentum=0.9), deltas, start), heavy, rtol=1e-14)
        np.testing.assert_allclose(follow(B, Adam(0.1, 0.8, 0.95, 1e-6), deltas, start), adam, rtol=1e-13)


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


def test_the_first_steps_are_those_of_the_definition(B):
    source, params = Sinusoid(dtype="float64"), init()
    run = meta_train(ALGO, loss, params, source, steps=2, tasks_per_step=4, optimizer=SGD(0.05), backend=B)
    with B.precision("float64"):
        p = ms.asarray(params, backend=B)

        def in_turn(p, t):
            r = ms.batch_meta_gradient(ALGO, loss, p, t)
            return {key: p[key] - 0.05 * r.delta[key] for key in p}, r.query_loss

        one_step = whole(B, in_turn)
        for step in range(2):
            p, query_loss = one_step(p, ms.asarray(source.batch(step, 4), backend=B))
            assert run.history[step].query_loss == pytest.approx(float(B.to_numpy(query_loss)), rel=1e-12)
    for key in params:
        np.testing.assert_allclose(B.to_numpy(run.params[key]), B.to_numpy(p[key]), rtol=1e-12)


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


def test_meta_test_is_adapt_and_measure(B):
    source, params = Sinusoid(stream="test", dtype="float64"), init()

    def largest_error(p, batch):
        xp = ms.array_namespace(p)
        hidden = xp.tanh(batch["x"] @ p["w1"] + p["b1"])
        return xp.max(xp.abs(hidden @ p["w2"] + p["b2"] - batch["y"]))

    report = meta_test(ALGO, loss, params, source, tasks=4, tasks_per_batch=2, metric=largest_error, backend=B)
    rows = []
    with B.precision("float64"):
        p = ms.asarray(params, backend=B)

        def measured(p, task):
            theta = ms.adapt(ALGO, loss, p, task.support)
            return [f(q, task.query) for f in (loss, largest_error) for q in (p, theta)]

        one_task = whole(B, measured)
        for i in range(4):
            row = one_task(p, ms.asarray(source.task(i), backend=B))
            rows.append([float(B.to_numpy(value)) for value in row])
    means, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    estimates = [report.loss_before, report.loss_after, report.metric_before, report.metric_after]
    for estimate, mean, s in zip(estimates, means, spread, strict=True):
        assert estimate.mean == pytest.approx(mean, rel=1e-12)
        assert estimate.half_width == pytest.approx(1.96 * s / 2, rel=1e-4)


def test_what_is_not_finite_stops_the_run_and_is_located(B):
    wild = ms.MAML(ms.GradientDescent(1e200, 3))
    with pytest.raises(errors.NonFiniteError, match=r"outer step 0: task \d: the inner loop: .*inner step 2 of 3"):
        meta_train(wild, loss, init(), Sinusoid(dtype="float64"), steps=1, tasks_per_step=2, backend=B)


def test_arguments():
    with pytest.raises(errors.InvalidTypeError, match="task_source needs"):
        meta_train(ALGO, loss, init(), [1, 2], steps=1)
    with pytest.raises(errors.InvalidArgumentError, match="meta_train: steps must be >= 0"):
        meta_train(ALGO, loss, init(), Sinusoid(), steps=-1)
