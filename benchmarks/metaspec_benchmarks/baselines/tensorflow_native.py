"""Hand-written TensorFlow: nested tapes, in eager mode and in `tf.function`, with and without XLA."""

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from metaspec.nn import MLP, ConvNet
from metaspec_benchmarks.benchmark_cases import FEW, LONG, MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm


def forms() -> list[TimedForm]:
    """Every way over tasks that TensorFlow offers."""
    return [
        TimedForm("tf.function + XLA, vectorized_map", "hand-written", partial(_build, _vectorized, True)),
        TimedForm("tf.function + XLA, map_fn", "hand-written", partial(_build, _mapped, True)),
        TimedForm("tf.function + XLA, the tasks in turn", "hand-written", partial(_build, _straight, True)),
        TimedForm("tensorflow, loop over tf.function + XLA", "hand-written", _loop),
        TimedForm("tf.function, vectorized_map", "hand-written", partial(_build, _vectorized, False)),
        TimedForm("tf.function, map_fn", "hand-written", partial(_build, _mapped, False)),
        TimedForm("tensorflow, eager nested tapes", "hand-written", _eager),
    ]


def _build(over_tasks: Callable[..., Any], xla: bool, case: BenchmarkCase) -> Built | None:
    if isinstance(case.network, ConvNet) and over_tasks is _vectorized:
        return None  # filters of each task's own cannot be vectorized
    if over_tasks is _straight and case.tasks > FEW:
        return None
    one, params, tasks = _one(case), *_tensors(case)

    def mean(params: Any, tasks: Any) -> Any:
        gradients, values = over_tasks(lambda task: one(params, *task), tasks, (params, tf.constant(0.0)))
        return {name: tf.reduce_mean(leaf, 0) for name, leaf in gradients.items()}, tf.reduce_mean(values)

    compiled = tf.function(mean, jit_compile=xla)
    return Built(lambda: finished(compiled(params, tasks)), lambda found: {k: v.numpy() for k, v in found[0].items()})


def _vectorized(f: Callable[..., Any], tasks: Any, like: Any) -> Any:
    return tf.vectorized_map(f, tasks, fallback_to_while_loop=False)


def _mapped(f: Callable[..., Any], tasks: Any, like: Any) -> Any:
    kinds = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), like)
    return tf.map_fn(f, tasks, fn_output_signature=kinds, parallel_iterations=2)


def _straight(f: Callable[..., Any], tasks: Any, like: Any) -> Any:
    return tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *map(f, _apart(tasks)))


def _apart(tasks: Any) -> list[Any]:
    count = len(tf.nest.flatten(tasks)[0])
    return [tf.nest.map_structure(lambda leaf, t=t: leaf[t], tasks) for t in range(count)]


def _loop(case: BenchmarkCase) -> Built | None:
    """A compiled function of one task, called for each of them."""
    return None if case.tasks > MANY else _each(case, tf.function(_one(case), jit_compile=True))


def _eager(case: BenchmarkCase) -> Built | None:
    return None if case.steps > LONG or case.tasks > MANY else _each(case, _one(case))


def _each(case: BenchmarkCase, one: Callable[..., Any]) -> Built:
    params, tasks = _tensors(case)
    each = _apart(tasks)

    def run() -> Any:
        rows = [one(params, *task) for task in each]
        mean = {name: tf.add_n([row[0][name] for row in rows]) / case.tasks for name in params}
        return finished((mean, tf.add_n([row[1] for row in rows]) / case.tasks))

    return Built(run, lambda found: {name: leaf.numpy() for name, leaf in found[0].items()})


def finished(found: Any) -> Any:
    """The result, once it is computed."""
    found[1].numpy()  # the function's outputs are ready together
    return found


def _tensors(case: BenchmarkCase) -> tuple[Any, Any]:
    return tf.nest.map_structure(tf.constant, (case.params(), tuple(case.batch())))


def _one(case: BenchmarkCase) -> Callable[..., Any]:
    loss = _perceptron(case.network) if isinstance(case.network, MLP) else _convolutional(case.network)

    def gradient(theta: Any, batch: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = loss(theta, batch)
        return tape.gradient(value, theta), value

    def descended(theta: Any, batch: Any) -> Any:
        def step(i: Any, theta: Any) -> Any:
            g, _ = gradient(theta, batch)
            return i + 1, {name: leaf - case.lr * g[name] for name, leaf in theta.items()}

        if case.steps > LONG:  # straight code compiles for minutes; of a loop XLA must know the rounds
            return tf.while_loop(lambda i, theta: i < case.steps, step, (0, theta), maximum_iterations=case.steps)[1]
        for i in range(case.steps):
            _, theta = step(i, theta)
        return theta

    def maml(params: Any, support: Any, query: Any) -> Any:
        theta = {name: tf.identity(leaf) for name, leaf in params.items()}
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = loss(descended(theta, support), query)
        return tape.gradient(value, theta), value

    def imaml(params: Any, support: Any, query: Any) -> Any:
        theta = params
        for _ in range(case.steps):
            g, _ = gradient(theta, support)
            theta = {
                name: leaf - case.lr * (g[name] + case.regularization * (leaf - params[name]))
                for name, leaf in theta.items()
            }
        b, value = gradient(theta, query)
        theta = {name: tf.identity(leaf) for name, leaf in theta.items()}
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(theta)
            g, _ = gradient(theta, support)

        def matvec(v: Any) -> Any:
            Hv = tape.gradient(g, theta, output_gradients=v)
            return {name: leaf + Hv[name] / case.regularization for name, leaf in v.items()}

        return _conjugate_gradients(matvec, b, case.solver_steps or 0), value

    return maml if case.solver_steps is None else imaml


def _conjugate_gradients(matvec: Callable[[Any], Any], b: Any, steps: int) -> Any:
    x, r, p = {name: tf.zeros_like(leaf) for name, leaf in b.items()}, b, b
    square = _dot(r, r)
    for _ in range(steps):
        Ap = matvec(p)
        alpha = square / _dot(p, Ap)
        x = {name: leaf + alpha * p[name] for name, leaf in x.items()}
        r = {name: leaf - alpha * Ap[name] for name, leaf in r.items()}
        before, square = square, _dot(r, r)
        p = {name: leaf + (square / before) * p[name] for name, leaf in r.items()}
    return x


def _dot(x: Any, y: Any) -> Any:
    return tf.add_n([tf.reduce_sum(leaf * y[name]) for name, leaf in x.items()])


def _perceptron(network: MLP) -> Callable[[Any, Any], Any]:
    last = len(network.sizes) - 2

    def loss(params: Any, batch: Any) -> Any:
        h = batch["x"]
        for i in range(last + 1):
            h = tf.matmul(h, params[f"w{i}"]) + params[f"b{i}"]
            h = tf.nn.relu(h) if i < last else h
        return _cross_entropy(h, batch["y"]) if network.classifier else tf.reduce_mean((h - batch["y"]) ** 2)

    return loss


def _convolutional(network: ConvNet) -> Callable[[Any, Any], Any]:
    def loss(params: Any, batch: Any) -> Any:
        x = batch["x"][..., None]
        for i in range(network.blocks):
            x = tf.nn.conv2d(x, params[f"kernel{i}"], strides=2, padding="SAME")
            mean = tf.reduce_mean(x, axis=(0, 1, 2))
            # Not tf.nn.moments: it takes the mean in the variance for a constant, and second derivatives are wrong.
            variance = tf.reduce_mean((x - mean) ** 2, axis=(0, 1, 2))
            x = tf.nn.batch_normalization(x, mean, variance, params[f"shift{i}"], params[f"scale{i}"], 1e-3)
            x = tf.nn.relu(x)
        return _cross_entropy(tf.reduce_mean(x, axis=(1, 2)) @ params["w"] + params["b"], batch["y"])

    return loss


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
