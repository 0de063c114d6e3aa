"""Losses with loops, and with operations that XLA lacks, compiled and batched: the values of eager TensorFlow."""

import logging
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

import metaspec as ms  # noqa: E402
from metaspec.errors import InvalidArgumentError, LossError, MutationError, UnsupportedError  # noqa: E402

RNG = np.random.default_rng(0)
TASKS = ms.Task(
    *[{"x": tf.constant(RNG.normal(size=(2, 3, 4))), "y": tf.constant(RNG.normal(size=(2, 4)))} for _ in "ab"]
)
PARAMS = {"w": tf.constant(RNG.normal(size=3))}
MAML = ms.MAML(ms.GradientDescent(0.1, 1))
VECTORISED = "tf.vectorized_map refuses it"
XLA = "compiled without XLA"


def fit(h, batch):
    return tf.reduce_mean((h - batch["y"]) ** 2)


def while_loop(params, batch):
    def body(i, h):
        return i + 1, tf.tanh(h + batch["x"][i] * params["w"][i])

    return fit(tf.while_loop(lambda i, h: i < 3, body, (0, tf.zeros(4, tf.float64)), maximum_iterations=3)[1], batch)


def scanned(params, batch):
    rows = batch["x"] * params["w"][:, None]
    return fit(tf.scan(lambda h, x: tf.tanh(h + x), rows, tf.zeros(4, tf.float64))[-1], batch)


def ranged(params, batch):
    h = tf.zeros(4, tf.float64)
    for i in tf.range(3):
        h = tf.tanh(h + tf.gather(batch["x"], i) * tf.gather(params["w"], i))
    return fit(h, batch)


def branching(params, batch):
    h = tf.tanh(tf.linalg.matvec(batch["x"], params["w"], transpose_a=True))
    if tf.reduce_sum(h) > 0:
        h = 2 * h
    return fit(h, batch)


def without_kernel(params, batch):  # XLA has none of MatrixDeterminant
    a = tf.eye(3, dtype=tf.float64) * 2 + params["w"][:, None] * params["w"]
    return fit(batch["x"][0], batch) * tf.linalg.det(a)


def batched(algo, loss):
    return lambda params, tasks: ms.batch_meta_gradient(algo, loss, params, tasks)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (while_loop, [VECTORISED]),
        pytest.param(scanned, [VECTORISED], marks=pytest.mark.soak),  # a while_loop too, once it is traced
        (ranged, [VECTORISED]),
        (branching, []),
        (without_kernel, [XLA]),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_compiled_batches_have_the_values_of_eager_ones(loss, told, caplog, capfd):
    expected = batched(MAML, loss)(PARAMS, TASKS)
    with caplog.at_level(logging.WARNING):
        found = ms.compile(batched(MAML, loss))(PARAMS, TASKS)
    np.testing.assert_allclose(found.delta["w"], expected.delta["w"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.query_loss, expected.query_loss, rtol=1e-12)
    lines = [r.getMessage() for r in caplog.records if r.name == "metaspec"]
    assert all(any(words in line for line in lines) for words in told), lines
    assert len(lines) <= 2
    assert not any("\n" in line for line in lines)
    assert not [r for r in caplog.records if "pfor" in r.getMessage()]


def test_first_order_loops_that_xla_does_not_compile_in_a_batch_are_looped_over(caplog):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras was imported with another backend in this process")
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((3, 4)), keras.layers.SimpleRNN(2, unroll=False), keras.layers.Dense(1)])
    m = ms.from_model(net, lambda net, batch: tf.reduce_mean((net(batch["x"])[:, 0] - batch["y"]) ** 2))
    tasks = ms.Task(
        *[{"x": tf.random.stateless_normal((2, 5, 3, 4), (1, i)), "y": tf.ones((2, 5)) * i} for i in (0, 1)]
    )
    algo = ms.FOMAML(ms.GradientDescent(0.05, 1))
    expected, found = batched(algo, m.loss)(m.params, tasks), ms.compile(batched(algo, m.loss))(m.params, tasks)
    for a, b in zip(found.delta, expected.delta, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_python_that_autograph_does_not_convert_is_refused():
    @tf.autograph.experimental.do_not_convert
    def hidden(params, batch):
        return ranged(params, batch)

    with pytest.raises(InvalidArgumentError, match=r"tf.while_loop and tf.cond, or decorate .* with @tf.function"):
        ms.compile(batched(MAML, hidden))(PARAMS, TASKS)


def test_errors_of_the_loss_are_its_own():
    with pytest.raises(LossError, match=r"returned shape \(3,\)"):
        ms.compile(batched(MAML, lambda p, b: p["w"] * 2))(PARAMS, TASKS)
    with pytest.raises(ZeroDivisionError):
        ms.compile(batched(MAML, lambda p, b: fit(p["w"][0] * (1 / 0), b)))(PARAMS, TASKS)


GENERATOR = tf.random.Generator.from_seed(3)
DRAWS = {
    "dropout": lambda p, b: fit(tf.nn.dropout(b["x"], 0.5)[0] * p["w"][0], b),
    "normal": lambda p, b: fit(p["w"][0] + tf.random.normal([4], dtype=tf.float64), b),
    "shuffle": lambda p, b: fit(p["w"][0] * tf.random.shuffle(b["x"][0]), b),
    "seeded": lambda p, b: fit(p["w"][0] * tf.random.uniform([4], seed=1, dtype=tf.float64), b),
    "generator": lambda p, b: fit(p["w"][0] * GENERATOR.normal([4], dtype=tf.float64), b),
    "in a function": lambda p, b: fit(p["w"][0] * tf.function(lambda: tf.random.normal([4], dtype=tf.float64))(), b),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("batch", [False, True])
def test_draws_in_a_compiled_function_are_refused(kind, batch):
    one = ms.Task(*[{name: leaf[0] for name, leaf in part.items()} for part in TASKS])
    f = batched(MAML, DRAWS[kind]) if batch else lambda p, t: ms.meta_gradient(MAML, DRAWS[kind], p, t)
    with pytest.raises(MutationError, match=r"draws random numbers \(.*into the batch"):
        ms.compile(f)(PARAMS, TASKS if batch else one)


COUNT = tf.Variable(0.0, dtype=tf.float64)
DROPOUT = keras.layers.Dropout(0.5, dtype="float64")


def counted(p, b):
    COUNT.assign_add(1.0)
    return fit(p["w"][0] * COUNT, b)


def written(p, b):
    made = tf.Variable(tf.zeros_like(p["w"]))
    made.assign(p["w"])
    return fit(made[0], b)


IMPURE = {
    "writes": (counted, MutationError, r"writes to a variable \(AssignAddVariableOp\)"),
    "keras": (lambda p, b: fit(DROPOUT(p["w"][0] * b["x"][0], training=True), b), MutationError, "from_model"),
    "numpy_function": (
        lambda p, b: fit(tf.numpy_function(lambda x: x, [p["w"][0] * b["x"][0]], tf.float64), b),
        UnsupportedError,
        "tf.numpy_function has no derivative",
    ),
    "py_function": (
        lambda p, b: fit(tf.py_function(lambda x: x**2, [p["w"][0] * b["x"][0]], tf.float64), b),
        UnsupportedError,
        "tf.py_function no second one",
    ),
    "numpy()": (lambda p, b: fit(p["w"][0].numpy() * p["w"][0], b), LossError, r"x.numpy\(\), float\(x\)"),
    "of NumPy": (lambda p, b: fit(np.tanh(p["w"][0] * b["x"][0]), b), LossError, r"write TensorFlow's own functions"),
    "variable": (written, LossError, "it makes a tf.Variable"),
    "recompute": (
        lambda p, b: fit(tf.recompute_grad(lambda w: tf.tanh(w))(p["w"][0]) * b["x"][0], b),
        LossError,
        "leave it out",
    ),
    "np.random": (lambda p, b: fit(p["w"][0] * np.random.rand(4), b), LossError, r"draws random .*numpy.random"),
}


@pytest.mark.parametrize("kind", IMPURE)
def test_what_is_no_pure_function_of_tensors_is_refused_in_a_trace(kind):
    loss, error, message = IMPURE[kind]
    one = ms.Task(*[{name: leaf[0] for name, leaf in part.items()} for part in TASKS])
    with pytest.raises(error, match=message):
        ms.compile(lambda p, t: ms.meta_gradient(MAML, loss, p, t))(PARAMS, one)


def test_stateless_draws_from_a_seed_in_the_batch_are_compiled():
    def loss(params, batch):
        noise = tf.random.stateless_normal([4], batch["seed"], dtype=tf.float64)
        return fit(params["w"][0] + noise, batch)

    tasks = ms.Task(*[{**part, "seed": tf.constant([[1, 2], [3, 4]])} for part in TASKS])
    expected = batched(MAML, loss)(PARAMS, tasks).delta["w"]
    np.testing.assert_allclose(ms.compile(batched(MAML, loss))(PARAMS, tasks).delta["w"], expected, rtol=1e-12)


@pytest.mark.parametrize("of", ["svd", "eigh"])
def test_decompositions_have_all_digits_where_they_are_compiled(of: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5, 5)) + 2 * np.eye(5)
    y = x + np.swapaxes(x, -1, -2)
    values, vectors = np.linalg.eigh(y)
    u, _, vh = np.linalg.svd(x)
    expected = u @ vh if of == "svd" else vectors * np.cos(values)[:, None] @ np.swapaxes(vectors, -1, -2)

    def loss(p: Any, b: Any) -> Any:
        if of == "svd":
            return tf.reduce_sum(tf.linalg.svd(p + b, compute_uv=False))
        return tf.reduce_sum(tf.sin(tf.linalg.eigh(p + b)[0]))

    algo = ms.FOMAML(ms.GradientDescent(0.1, 0))
    with ms.get_backend("tensorflow").precision("float64"):
        params, zero = tf.constant(x if of == "svd" else y), tf.zeros((30, 5, 5), tf.float64)
        compiled = ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t, backend="tensorflow").delta)
        found = compiled(params, ms.Task(zero, zero)).numpy()
    found = found if of == "svd" else (found + np.swapaxes(found, -1, -2)) / 2  # TensorFlow's is of the lower triangle
    np.testing.assert_allclose(found, expected, atol=1e-11)
