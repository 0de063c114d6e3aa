"""Every form gives the same: eager, batched, recorded; of ordinary, one-sized, empty, scalar arrays; at two orders."""

import random
import threading
import warnings
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import LossError, MetaspecError
from metaspec_numpy import tracer
from tests.numpy_tracer.calls import calls
from tests.numpy_tracer.checks import close

RNG = np.random.default_rng(11)
ANY_SHAPE = """
np.sum(x) | np.sum(x, -1) | np.sum(x, 0, keepdims=True) | np.prod(x) | np.mean(x, keepdims=True) | np.var(x, -1) | np.std(x)
np.max(x, -1) | np.min(x, initial=0.1) | np.sum(x, initial=1.0, where=x > 0) | np.cumsum(x, -1) | np.cumprod(x) | np.sort(x)
np.median(x) | np.quantile(x, 0.3, axis=-1) | np.average(x, -1) | np.nanmean(x) | np.diff(x) | np.any(x > 0) * x | np.ptp(x, -1)
x + 1.5 | x * x | x / (x + 5) | np.exp(x) | np.tanh(x) * x | np.maximum(x, 0.1) | np.where(x > 0, x, 0) | np.clip(x, -0.3, 0.3)
x[...] | x[..., None] | x[None] | x.ravel() | x.flatten() | x.reshape(-1) | x.reshape(x.shape + (1,)) | x.T | np.flip(x) | np.roll(x, 1)
np.tile(x, 2) | np.repeat(x, 2) | np.concatenate([x, x], axis=-1) | np.stack([x, x]) | np.hstack([x, x]) | np.vstack([x, x]) | np.atleast_2d(x)
np.squeeze(x) | np.expand_dims(x, -1) | np.broadcast_to(x, (2, *x.shape)) | np.pad(x, 1) | np.pad(x, 1, mode="edge") | np.append(x, 1.0)
np.split(x, 1)[0] | np.moveaxis(x, 0, -1) | np.outer(x, x) | np.dot(x, x.T) | x @ x.T | np.inner(x, x) | np.tensordot(x, x, x.ndim) | np.kron(x, x)
np.linalg.norm(x) | np.linalg.norm(x, axis=-1) | np.linalg.norm(x, 1, axis=-1) | np.einsum("...i->...", x) | np.einsum("...i,...i->...", x, x)
np.tril(x) | np.diag(x) | np.trace(x) | np.take(x, [0, 0], axis=0) | np.zeros_like(x) + x | np.linspace(x, 1.0, 3) | np.add.outer(x, x)
np.convolve(x, x) | np.interp(x, [-1.0, 1.0], [2.0, 3.0]) | np.select([x > 0.5], [x], 0.0) | np.choose(np.zeros(x.shape, int), [x, x]) | np.sinc(x)
np.logaddexp(x, 0.0) | np.hypot(x, 1.0) | np.cbrt(x) | x**2 | x**3.0 | np.linalg.det(x) | np.linalg.inv(x) | np.linalg.qr(x)[1] | np.linalg.svdvals(x)
np.linalg.eigvalsh(x) | np.maximum.accumulate(x, axis=0) | np.logaddexp.reduce(x, axis=-1) | np.argmax(x, -1) * 1.0 | np.take_along_axis(x, np.argsort(x), -1)
np.gradient(x) | np.cov(x) | np.bincount([0] * x.size, weights=x.ravel(), minlength=2) | np.polyval([1.0, 2.0], x) | np.ediff1d(x) | np.copy(x)
xp.logsumexp(x) | xp.softmax(x, axis=-1) | xp.log_softmax(x, axis=-1) | xp.sigmoid(x) | xp.softplus(x) | xp.var(x, correction=1) | xp.cumulative_sum(x)
"""  # noqa: E501
SHAPES = [(3,), (2, 3), (3, 3), (), (1,), (1, 1), (0,), (2, 0), (0, 2), (1, 3), (3, 1), (0, 0), (1, 0)]


def _numpy_says(f: Callable[[Any], Any], x: Any) -> Any:
    """NumPy's own result; its error where it refuses."""
    try:
        return f(x)
    except Exception as error:
        return error


def _agree(x: Any, y: Any, tol: float) -> None:
    x, y = np.asarray(x), np.asarray(y)
    assert np.array_equal(np.isnan(x), np.isnan(y))
    close(np.nan_to_num(x), np.nan_to_num(y), tol)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("call", calls(ANY_SHAPE))
@pytest.mark.filterwarnings("ignore")
def test_forms_agree_on_every_shape(call: str, shape: tuple[int, ...]) -> None:
    code = compile(call, call, "eval")
    raw = np.random.default_rng(len(call)).uniform(0.2, 1.2, size=shape)
    two = np.stack([raw, raw])

    def f(x: Any) -> Any:
        out = eval(code, {"np": np, "x": x, "xp": tracer.namespace(np)})
        return out[0] if isinstance(out, tuple | list) else out

    def gradient(x: Any) -> Any:
        return tracer.vjp(lambda x: np.sum(f(x) ** 2), x)[1](np.ones(()))[0]

    def second(x: Any) -> Any:
        return tracer.jvp(gradient, [x], [x * 0.5 + 1.0])[1]

    def forms(g: Callable[[Any], Any]) -> dict[str, Callable[[], Any]]:
        return {
            "eager": lambda: tracer.jvp(g, [raw], [raw])[0],
            "batched": lambda: tracer.vmap(g)(two)[1],
            "recorded": lambda: tracer.record(g, (raw * 0.5,))(raw),
            "recorded batch": lambda: tracer.record(tracer.vmap(g), (two,))(two)[0],
        }

    expected = _numpy_says(f, raw)
    if isinstance(expected, Exception):
        if not shape:
            return  # some rules take "axis" -1 of a number where NumPy does not
        for name, form in forms(f).items():
            untraced = name == "eager" and not raw.size  # an empty tangent is zero: NumPy itself is called
            ours = (MetaspecError, IndexError, np.linalg.LinAlgError)
            with pytest.raises(ours if "np." in call and not untraced else Exception):
                form()
        return
    for g in (f, gradient, second):
        values = {name: form() for name, form in forms(g).items()}
        if g is f:
            assert np.asarray(values["eager"]).dtype == np.asarray(expected).dtype
            _agree(values["eager"], expected, 1e-12)
        for name in ("batched", "recorded", "recorded batch"):
            _agree(values[name], values["eager"], 1e-10)
        if not set(UNDEFINED_FOR_NONE) & set(call.replace("(", ".").split(".")):
            assert np.shape(tracer.vmap(g)(np.zeros((0, *shape)))) == (0, *np.shape(values["eager"]))


UNDEFINED_FOR_NONE = ("det", "inv", "qr", "svdvals", "eigvalsh")


# What batching and recording cannot do is done one by one, and said

TASKS = [ms.Task(*({"x": RNG.normal(size=(5, 3)), "i": RNG.integers(0, 6, 5)} for _ in range(2))) for _ in range(3)]
PARAMS = {"w": RNG.normal(size=3), "e": RNG.normal(size=(6, 3))}
OF_VALUES: dict[str, Callable[[Any, Any], Any]] = {
    "indexed constant": lambda p, b: np.mean((np.eye(6)[b["i"]] @ p["e"] @ p["w"]) ** 2),
    "mask from data": lambda p, b: np.mean(np.tanh(b["x"] @ p["w"])[b["x"][:, 0] > 0] ** 2),
    "if on data": lambda p, b: np.mean((b["x"] @ p["w"]) ** 2) * (2.0 if b["x"][0, 0] > 0 else 3.0),
    "number from data": lambda p, b: np.mean((b["x"] @ p["w"]) ** 2) * float(b["x"].max()),
    "unique": lambda p, b: np.mean(p["e"][np.unique(b["i"])] ** 2),
    "filled": lambda p, b: np.mean((_one_hot(b["i"]) @ p["e"]) ** 2),
}


def _one_hot(ids: Any) -> Any:
    hot = np.zeros((len(ids), 6))
    hot[np.arange(len(ids)), ids] = 1.0
    return hot


@pytest.mark.parametrize("loss", OF_VALUES.values(), ids=OF_VALUES.keys())
def test_a_loss_that_looks_at_its_data_is_right_in_every_form(loss: Callable[[Any, Any], Any]) -> None:
    algo = ms.MAML(ms.GradientDescent(0.05, 2))
    one_by_one = [ms.meta_gradient(algo, loss, PARAMS, task) for task in TASKS]
    mean = {k: np.mean([r.delta[k] for r in one_by_one], axis=0) for k in PARAMS}
    with pytest.warns(RuntimeWarning, match="one task after the other, as it cannot be batched"):
        batch = ms.batch_meta_gradient(algo, loss, PARAMS, TASKS)
    compiled = ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t))
    with pytest.warns(RuntimeWarning, match="not compiled, as it cannot be recorded"):
        compiled(PARAMS, TASKS[0])
    with warnings.catch_warnings(action="error"):
        again = compiled(PARAMS, TASKS[1])
    for k in PARAMS:
        close(batch.delta[k], mean[k], 1e-13)
        close(again.delta[k], one_by_one[1].delta[k], 1e-13)


# Draws

GENERATOR = np.random.default_rng(0)
LEGACY = np.random.RandomState(0)
PLAIN = random.Random(0)


class _Noise:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)

    def __call__(self, x: Any) -> Any:
        return x + self.rng.normal(size=x.shape)


def _closed_over() -> Callable[[Any], Any]:
    rng = np.random.default_rng(2)
    return lambda x: x + rng.normal(size=x.shape)


DRAWS: dict[str, Callable[[Any], Any]] = {
    "numpy.random": lambda x: x * (np.random.rand(3) < 0.5),
    "random": lambda x: x * random.random(),
    "global Generator": lambda x: x + GENERATOR.normal(size=3),
    "global RandomState": lambda x: x + LEGACY.normal(size=3),
    "global Random": lambda x: x * PLAIN.random(),
    "closed over": _closed_over(),
    "attribute": _Noise(),
    "called function": lambda x: _helper(x),
}


def _helper(x: Any) -> Any:
    return x + GENERATOR.uniform(size=3)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_no_draw_is_frozen(draw: Callable[[Any], Any]) -> None:
    loss = lambda p, b: np.sum(draw(p["w"]) ** 2)  # noqa: E731
    algo = ms.MAML(ms.GradientDescent(0.05, 1))
    compiled = ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t))
    with pytest.raises(LossError, match="draws random numbers .* pass the numbers in with the batch"):
        compiled({"w": np.ones(3)}, TASKS[0])


def test_a_generator_that_is_not_drawn_from_is_no_draw() -> None:
    f = ms.compile(lambda x: x * 2 + 0 * len(str(GENERATOR)), backend="numpy")
    close(f(np.ones(3)), np.full(3, 2.0), 0)


@pytest.mark.parametrize(("runs", "told"), [(1, False), (99, True)], ids=["once", "always"])
def test_a_draw_of_another_thread_is_not_the_functions(runs: int, told: bool) -> None:
    """The other thread draws while f is traced: once, as a loader may, or at each of its runs."""
    asked: SimpleQueue[Any] = SimpleQueue()
    drawn: SimpleQueue[Any] = SimpleQueue()
    left = iter(range(runs))

    def f(x: Any) -> Any:
        if next(left, None) is not None:
            asked.put("a draw")
            drawn.get(timeout=60)
        return x * 2

    other = threading.Thread(target=lambda: [drawn.put(np.random.rand()) for _ in iter(asked.get, None)])
    other.start()
    compiled = ms.compile(f, backend="numpy")
    try:
        if told:
            with pytest.raises(LossError, match="another thread did .* numpy.random.default_rng"):
                compiled(np.ones(3))
        else:
            close(compiled(np.ones(3)), np.full(3, 2.0), 0)
    finally:
        asked.put(None)
        other.join()
