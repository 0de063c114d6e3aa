"""Derivatives through the TensorFlow namespace: to third order, under every transformation, at zeros and far out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import metaspec as ms  # noqa: E402
from metaspec.nn import MLP  # noqa: E402
from metaspec_tensorflow import namespace as xp  # noqa: E402

RNG = np.random.default_rng(3)
X = RNG.uniform(0.2, 0.9, size=(3, 4))
V = RNG.normal(size=(3, 4))
ZEROS = X * (RNG.uniform(size=(3, 4)) < 0.5)
ROOM = np.eye(4)[:3] * 3
INDEX = np.asarray([2, 0, 2])

OFFSETS = np.arange(12.0).reshape(3, 4) - 5
SINGLE = """
sin cos tan asin acos atan sinh cosh tanh asinh atanh exp expm1 log log1p log2 log10 sqrt square reciprocal abs
mean var std prod max min sum sort flip tril triu matrix_transpose negative positive diff
"""


def words(text: str) -> list[str]:
    return text.split()


CASES: dict[str, Callable[[Any, Any], Any]] = {
    name: lambda xp, x, n=name: getattr(xp, n)(x) for name in words(SINGLE)
} | {
    "pow": lambda xp, x: xp.pow(x, 2.5) + xp.pow(x, 3) + xp.pow(x, -2) + xp.pow(x, x),
    "binary": lambda xp, x: xp.atan2(x, x[0]) + xp.hypot(x, x[1]) + xp.logaddexp(x, 2 * x[:, :1]) + x / x[2],
    "steps": lambda xp, x: xp.remainder(x + OFFSETS, -1.0) * xp.floor_divide(x + OFFSETS, 1.0) + xp.trunc(x) * x**2,
    "divisor": lambda xp, x: xp.remainder(OFFSETS + x, 20.0 + x),
    "choices": lambda xp, x: xp.maximum(x**3, x[0] ** 2) + xp.minimum(x, 0.5) ** 3 + xp.where(x > 0.5, xp.exp(x), x),
    "clip": lambda xp, x: xp.clip(x, min=0.3, max=0.7) ** 3,
    "axes": lambda xp, x: xp.var(x, axis=0, correction=1) * xp.max(x, axis=0) * xp.prod(x, axis=0) + xp.std(x, axis=0),
    "running": lambda xp, x: xp.cumulative_prod(x, axis=1) * xp.square(xp.cumulative_sum(x, axis=0)),
    "products": lambda xp, x: xp.matmul(x, xp.matrix_transpose(xp.square(x))) + xp.vecdot(x, xp.pow(x, 2)),
    "tensordot": lambda xp, x: xp.tensordot(x, xp.pow(x, 3), axes=2) * xp.tensordot(x, x, axes=((0,), (0,))),
    "vectors": lambda xp, x: xp.matmul(x, x[0] ** 2) * xp.matmul(x[:, 0], x**2)[1] * xp.matmul(x[1], x[2] ** 2),
    "shapes": lambda xp, x: xp.reshape(xp.permute_dims(x**3, (1, 0)), (2, 6)) * xp.broadcast_to(x[0, :1] ** 2, (2, 6)),
    "joins": lambda xp, x: xp.concat([x**3, xp.roll(x, 1) * x]) * xp.tile(xp.repeat(x[:1], 3, axis=0), (2, 1)),
    "unstack": lambda xp, x: xp.stack(xp.unstack(x, axis=1)[::-1]) ** 3 + xp.expand_dims(x[0], axis=1),
    "take": lambda xp, x: xp.take(x, xp.asarray(INDEX), axis=0) ** 3 * xp.take(x, xp.asarray(INDEX), axis=1)[:, :1],
    "take_vector": lambda xp, x: xp.take(x[0], xp.asarray(INDEX), axis=0) ** 3,
    "take_along": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=0), axis=0) ** 3,
    "sorted": lambda xp, x: xp.sort(x, axis=-1) ** 3 * xp.sort(x, axis=0),
    "slices": lambda xp, x: x[::-1, 1:3] ** 3 * x[:, None, 0] + x[1, ..., 2] ** 2,
    "astype": lambda xp, x: xp.astype(x > 0.5, x.dtype) * x**3,
    "vector_norm": lambda xp, x: xp.linalg.vector_norm(x, axis=1) + xp.linalg.vector_norm(x, ord=3),
    "matrix_norm": lambda xp, x: xp.linalg.matrix_norm(x) + xp.linalg.matrix_norm(x, ord=1),
    "solve": lambda xp, x: xp.linalg.solve(x[:, :3] + ROOM[:, :3], x**2) + xp.linalg.inv(x[:, :3] + ROOM[:, :3])[:, :1],
    "det": lambda xp, x: xp.linalg.det(x[:, :3] + ROOM[:, :3]) * x**2,
    "slogdet": lambda xp, x: xp.linalg.slogdet(x[:, :3] + ROOM[:, :3])[1] * x**2,
    "cholesky": lambda xp, x: xp.linalg.cholesky(xp.matmul(x, xp.matrix_transpose(x)) + np.eye(3)),
    "diagonal": lambda xp, x: xp.linalg.trace(x) ** 2 * xp.linalg.diagonal(x, offset=1),
    "outer": lambda xp, x: xp.linalg.outer(x[0], x[1]) ** 2,
    "cross": lambda xp, x: xp.linalg.cross(x[:, :3], x[:, 1:] ** 2),
}
# With derivatives along a random direction of a function that is not smooth at zeros, or only defined off them.
AT_ZEROS = words("prod running square sin tanh axes_free pow2 take products tensordot")
CASES["pow2"] = lambda xp, x: xp.pow(x, 2) + xp.pow(x, 1) + xp.pow(x, 0) + xp.pow(x, 3.0)
CASES["axes_free"] = lambda xp, x: xp.prod(x, axis=1) * xp.prod(x, axis=0)[:1]


def along(f: Callable[[Any, Any], Any], x: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """d^k/dt^k of sum(f(x + t v) * weights), k = 0 .. order, by nested reverse mode."""
    start, direction = tf.constant(x), tf.constant(v)

    def value(t: Any) -> Any:
        out = f(xp, start + t * direction)
        return tf.reduce_sum(out * tf.constant(np.cos(np.arange(np.prod(out.shape)).reshape(out.shape))))

    def derivatives(t: Any) -> list[Any]:
        values: list[Any] = []

        def climb(k: int) -> Any:
            if k == 0:
                values.append(value(t))
                return values[-1]
            with tf.GradientTape() as tape:
                tape.watch(t)
                lower = climb(k - 1)
            values.append(tape.gradient(lower, t, unconnected_gradients="zero"))
            return values[-1]

        climb(order)
        return values

    return np.asarray([d.numpy() for d in derivatives(tf.constant(0.0, tf.float64))])


def differences(f: Callable[[Any, Any], Any], x: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """Return derivatives from NumPy's values at nine points alone, through the polynomial of degree eight."""
    step, places = 4e-3, np.arange(-4, 5)
    values = []
    for p in places:
        out = np.asarray(f(np, x + p * step * v))
        values.append(np.sum(out * np.cos(np.arange(out.size).reshape(out.shape))))
    coefficients = np.linalg.solve(np.vander(places.astype(float), increasing=True), np.asarray(values))
    return np.asarray([coefficients[k] * [1, 1, 2, 6][k] / step**k for k in range(order + 1)])


@pytest.mark.parametrize("name", CASES)
def test_derivatives_to_third_order(name: str) -> None:
    f = CASES[name]
    np.testing.assert_allclose(along(f, X, V / 10, 3), differences(f, X, V / 10, 3), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", AT_ZEROS)
def test_derivatives_at_zeros(name: str) -> None:
    f = CASES[name]
    np.testing.assert_allclose(along(f, ZEROS, V, 3), differences(f, ZEROS, V, 3), rtol=2e-5, atol=2e-5)


def sigmoid(xp: Any, x: Any) -> Any:
    return 0.5 * (xp.tanh(0.5 * x) + 1)


def softplus(xp: Any, x: Any) -> Any:
    return xp.logaddexp(x, 0.0)


def logsumexp(xp: Any, x: Any) -> Any:
    both = xp.stack([x, xp.zeros_like(x)])
    top = xp.max(both, axis=0)
    return top + xp.log(xp.sum(xp.exp(both - top), axis=0))


def logistic_derivatives(x: np.ndarray) -> list[np.ndarray]:
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)
    d = e / (1 + e) ** 2
    return [s, d, d * np.where(x >= 0, -1, 1) * (1 - e) / (1 + e), d * (1 - 6 * d)]


def tanh_derivatives(x: np.ndarray) -> list[np.ndarray]:
    return [2.0 ** (k + 1) * d - (k == 0) for k, d in enumerate(logistic_derivatives(2 * x))]


FAR = np.asarray([-1000.0, -30.0, -1.0, 0.0, 0.5, 30.0, 1000.0])


@pytest.mark.parametrize("compiled", [None, True], ids=["eager", "xla"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "logsumexp"])
def test_saturating_functions_to_third_order(name: str, dtype: str, compiled: bool | None) -> None:
    f = {"tanh": lambda xp, x: xp.tanh(x), "sigmoid": sigmoid, "softplus": softplus, "logsumexp": logsumexp}[name]

    def third(x: Any) -> list[Any]:
        with tf.GradientTape() as a:
            a.watch(x)
            with tf.GradientTape() as b:
                b.watch(x)
                with tf.GradientTape() as c:
                    c.watch(x)
                    y = f(xp, x)
                first = c.gradient(y, x)
            second = b.gradient(first, x)
        return [first, second, a.gradient(second, x)]

    call = tf.function(third, autograph=False, jit_compile=True) if compiled else third
    got = call(tf.constant(FAR, dtype))
    table = tanh_derivatives(FAR) if name == "tanh" else logistic_derivatives(FAR)
    expected = table[1:] if name in ("tanh", "sigmoid") else table[:3]
    for g, e in zip(got, expected, strict=True):
        assert g.dtype.name == dtype
        np.testing.assert_allclose(g.numpy(), e, atol=8 * np.finfo(dtype).eps)


def gradient(f: Callable[[Any], Any], at: Any) -> np.ndarray:
    x = tf.constant(at, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    out = tape.gradient(y, x)
    assert isinstance(out, tf.Tensor)
    return out.numpy()


def test_conventions_where_there_is_no_derivative() -> None:
    zero = [0.0, 0.0]
    np.testing.assert_array_equal(gradient(xp.linalg.vector_norm, zero), zero)
    np.testing.assert_array_equal(gradient(lambda x: xp.linalg.matrix_norm(x[None]), zero), zero)
    np.testing.assert_array_equal(gradient(lambda x: xp.linalg.vector_norm(x, ord=3), zero), zero)
    np.testing.assert_array_equal(gradient(lambda x: xp.hypot(x, x), zero), zero)
    np.testing.assert_array_equal(gradient(xp.std, [2.0, 2.0]), zero)
    np.testing.assert_array_equal(gradient(xp.max, zero), [0.5, 0.5])
    np.testing.assert_array_equal(gradient(lambda x: xp.maximum(x, 0.0), zero), [1, 1])
    np.testing.assert_array_equal(gradient(lambda x: xp.maximum(0.0, x), zero), zero)
    np.testing.assert_array_equal(gradient(lambda x: xp.clip(x, -1.0, 1.0), [-1, 1]), [1, 1])
    np.testing.assert_array_equal(gradient(xp.abs, zero), zero)
    np.testing.assert_array_equal(gradient(xp.sqrt, zero), [np.inf, np.inf])


@pytest.mark.parametrize("name", sorted(set(CASES) - {"det"}))
def test_gradients_vectorize_without_falling_back(name: str) -> None:
    f, batch = CASES[name], np.stack([X, X**2, X[::-1] / 2])

    def one(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(f(xp, x))
            g = tf.reduce_sum(inner.gradient(y, x, unconnected_gradients="zero") * tf.constant(V))
        return tape.gradient(g, x, unconnected_gradients="zero")

    mapped = tf.function(lambda b: tf.vectorized_map(one, b, fallback_to_while_loop=False), autograph=False)
    together = mapped(tf.constant(batch)).numpy()
    for g, x in zip(together, batch, strict=True):
        np.testing.assert_allclose(g, one(tf.constant(x)).numpy(), rtol=1e-9, atol=1e-10)


def mlp_loss(params: dict[str, Any], batch: tuple[Any, Any]) -> Any:
    hidden = xp.tanh(batch[0] @ params["w"] + params["b"])
    return xp.mean(xp.square(hidden @ params["v"] - batch[1]))


def mlp_gradient(params: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    x, y = batch
    hidden = np.tanh(x @ params["w"] + params["b"])
    error = 2 * (hidden @ params["v"] - y) / y.size
    back = (error @ params["v"].T) * (1 - hidden**2)
    return {"w": x.T @ back, "b": back.sum(0), "v": hidden.T @ error}


@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "traced", "xla"])
def test_gradient_of_an_mlp_over_tasks(compiled: bool | None) -> None:
    params = {"w": RNG.normal(size=(2, 5)), "b": RNG.normal(size=5), "v": RNG.normal(size=(5, 1))}
    xs, ys = RNG.normal(size=(4, 6, 2)), RNG.normal(size=(4, 6, 1))
    shared = tf.nest.map_structure(tf.constant, params)

    def one(batch: tuple[Any, Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(shared)
            loss = mlp_loss(shared, batch)
        return tape.gradient(loss, shared)

    def all_tasks(batches: tuple[Any, Any]) -> Any:
        return tf.vectorized_map(one, batches, fallback_to_while_loop=False)

    call = all_tasks if compiled is None else tf.function(all_tasks, autograph=False, jit_compile=compiled)
    together = call((tf.constant(xs), tf.constant(ys)))
    for i in range(4):
        for key, expected in mlp_gradient(params, (xs[i], ys[i])).items():
            np.testing.assert_allclose(together[key][i].numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("compiled", [False, True], ids=["traced", "xla"])
def test_traced_values_and_gradients_are_the_eager_ones(compiled: bool) -> None:
    chosen = [n for n in CASES if n not in ("cholesky", "solve", "det", "slogdet")]

    def everything(x: Any) -> list[Any]:
        out = []
        for name in chosen:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(CASES[name](xp, x))
            out.append(tape.gradient(y, x, unconnected_gradients="zero"))
        return out

    got = tf.function(everything, autograph=False, jit_compile=compiled)(tf.constant(X))
    for name, g in zip(chosen, got, strict=True):
        for entry in ((0, 0), (2, 3)):
            unit = np.zeros_like(X)
            unit[entry] = 0.1
            expected = plain_derivative(CASES[name], unit)
            np.testing.assert_allclose(g[entry] * 0.1, expected, rtol=1e-6, atol=1e-8, err_msg=name)


def plain_derivative(f: Callable[[Any, Any], Any], v: np.ndarray) -> float:
    step, weights = 2e-3, {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    return sum(w * float(np.sum(f(np, X + p * step * v))) for p, w in weights.items()) / step


def test_the_derivative_of_take_is_dense_and_vectorizes_over_indices() -> None:
    x, indices = tf.constant(X[0]), tf.constant([[0, 1], [2, -2]])

    def one(i: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(xp.take(x, i, axis=0) ** 2)
        return tape.gradient(y, x)

    assert isinstance(one(indices[0]), tf.Tensor)
    together = tf.vectorized_map(one, indices, fallback_to_while_loop=False)
    np.testing.assert_allclose(together.numpy(), 2 * X[0] * [[1, 1, 0, 0], [0, 0, 2, 0]], rtol=1e-14)


def test_forward_mode_over_reverse_mode() -> None:
    x, v = tf.constant(X[0]), tf.constant(V[0])
    with tf.autodiff.ForwardAccumulator(x, v) as forward:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(xp.take(x, xp.asarray([1, 0, 1]), axis=0) ** 3) + xp.prod(x)
        g = tape.gradient(y, x)
    others = np.prod(X[0]) / np.outer(X[0], X[0]) * (1 - np.eye(4))
    np.testing.assert_allclose(forward.jvp(g).numpy(), 6 * X[0] * V[0] * [1, 2, 0, 0] + others @ V[0], rtol=1e-12)


def test_many_solver_steps_on_integer_labels_compile():
    """In a loop of XLA's the vectorised product would ask for shapes that it does not know there."""
    rng = np.random.default_rng(5)
    net, algo = MLP((4, 3, 3), classifier=True), ms.IMAML(ms.GradientDescent(0.05, 1), 5.0, ms.ConjugateGradient(11))

    def some() -> dict[str, Any]:
        return {"x": rng.standard_normal((2, 5, 4)), "y": rng.integers(0, 3, (2, 5)).astype("int32")}

    params, tasks = ms.asarray((net.init(0, "float64"), ms.Task(some(), some())), backend="tensorflow")
    step = ms.compile(lambda p, t: ms.batch_meta_gradient(algo, net.loss, p, t).delta)
    compiled, eager = step(params, tasks), ms.batch_meta_gradient(algo, net.loss, params, tasks).delta
    for name, leaf in eager.items():
        assert np.allclose(compiled[name].numpy(), leaf.numpy(), rtol=0, atol=1e-11 * float(np.abs(leaf.numpy()).max()))
