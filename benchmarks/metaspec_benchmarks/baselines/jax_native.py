"""Hand-written JAX: jit(grad) through the unrolled loop, over tasks in every way there is; iMAML, and jaxopt's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from metaspec.nn import MLP, ConvNet
from metaspec_benchmarks.benchmark_cases import FEW, LONG, MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

OverTasks = Callable[[Callable[..., Any], Any], Any]
TOGETHER = 25  # tasks at a time of a map in batches


def forms() -> list[TimedForm]:
    """Every way over tasks that suits the case; jaxopt's implicit differentiation likewise."""
    jaxopt = (("jaxopt", "jaxopt"),)
    return [
        TimedForm("jax, jit(vmap(grad))", "hand-written", partial(_build, _vmap, _one)),
        TimedForm("jax, jit(map(grad))", "hand-written", partial(_build, _map, _one)),
        TimedForm(f"jax, jit(map(grad)), {TOGETHER} at a time", "hand-written", partial(_build, _batches, _one)),
        TimedForm("jax, jit(grad) of the tasks in turn", "hand-written", partial(_build, _straight, _one)),
        TimedForm("jax, loop over jit(grad)", "hand-written", partial(_loop, _one)),
        TimedForm("jaxopt, implicit, vmap", "library", partial(_build, _vmap, _jaxopt), jaxopt),
        TimedForm("jaxopt, implicit, map", "library", partial(_build, _map, _jaxopt), jaxopt),
        TimedForm("jaxopt, implicit, loop over jit", "library", partial(_loop, _jaxopt), jaxopt),
    ]


def _build(over_tasks: OverTasks, method: Callable[[BenchmarkCase, Any], Any], case: BenchmarkCase) -> Built | None:
    one = method(case, _loss(case))
    if one is None or (over_tasks is _straight and case.tasks > FEW) or (over_tasks is _batches and case.tasks <= MANY):
        return None
    if over_tasks is _vmap and method is _jaxopt and isinstance(case.network, ConvNet):
        return None  # the solver that jaxopt calls fails under vmap where there are convolutions
    params, tasks = jax.tree.map(jnp.asarray, (case.params(), case.batch()))

    @jax.jit
    def mean(params: Any, tasks: Any) -> Any:
        values, gradients = over_tasks(lambda task: one(params, *task), tasks)
        return jax.tree.map(lambda leaf: leaf.mean(axis=0), (gradients, values))

    return Built(lambda: jax.block_until_ready(mean(params, tasks)), lambda found: jax.device_get(found[0]))


def _vmap(f: Callable[..., Any], tasks: Any) -> Any:
    return jax.vmap(f)(tasks)


def _map(f: Callable[..., Any], tasks: Any) -> Any:
    return jax.lax.map(f, tasks)


def _batches(f: Callable[..., Any], tasks: Any) -> Any:
    return jax.lax.map(f, tasks, batch_size=TOGETHER)


def _straight(f: Callable[..., Any], tasks: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(f, _apart(tasks)))


def _apart(tasks: Any) -> list[Any]:
    count = len(jax.tree.leaves(tasks)[0])
    return [jax.tree.map(lambda leaf, t=t: leaf[t], tasks) for t in range(count)]


def _loop(method: Callable[[BenchmarkCase, Any], Any], case: BenchmarkCase) -> Built | None:
    """A compiled function of one task, called for each of them."""
    found = method(case, _loss(case))
    if found is None or case.tasks > MANY:
        return None
    params, tasks = jax.tree.map(jnp.asarray, (case.params(), tuple(case.batch())))
    one, each = jax.jit(found), _apart(tasks)
    mean = jax.jit(lambda rows: jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *rows))

    def run() -> Any:
        value, gradient = mean([one(params, *task) for task in each])
        return jax.block_until_ready((gradient, value))

    return Built(run, lambda found: jax.device_get(found[0]))


def _descend(case: BenchmarkCase, gradient: Callable[[Any], Any], theta: Any) -> Any:
    def step(theta: Any, _: Any = None) -> tuple[Any, None]:
        return jax.tree.map(lambda p, g: p - case.lr * g, theta, gradient(theta)), None

    if case.steps > LONG:  # as JAX's documentation recommends where compiling takes long
        return jax.lax.scan(step, theta, None, length=case.steps)[0]
    for _ in range(case.steps):
        theta, _ = step(theta)
    return theta


def _one(case: BenchmarkCase, loss: Any) -> Any:
    if case.solver_steps is not None:
        return _imaml(case, loss)

    def query_loss(params: Any, support: Any, query: Any) -> Any:
        return loss(_descend(case, lambda theta: jax.grad(loss)(theta, support), params), query)

    return jax.value_and_grad(query_loss)


def _imaml(case: BenchmarkCase, loss: Any) -> Any:
    def solved(params: Any, support: Any, query: Any) -> Any:
        def proximal(theta: Any) -> Any:
            near = sum(jnp.sum((p - q) ** 2) for p, q in zip(*map(jax.tree.leaves, (theta, params)), strict=True))
            return loss(theta, support) + 0.5 * case.regularization * near

        theta = _descend(case, jax.grad(proximal), params)
        value, b = jax.value_and_grad(loss)(theta, query)
        _, transposed = jax.vjp(lambda theta: jax.grad(loss)(theta, support), theta)  # H is symmetric

        def matvec(v: Any) -> Any:
            return jax.tree.map(lambda a, h: a + h / case.regularization, v, transposed(v)[0])

        return value, _conjugate_gradients(matvec, b, case.solver_steps or 0)

    return solved


def _conjugate_gradients(matvec: Callable[[Any], Any], b: Any, steps: int) -> Any:
    """One product for each step; `jax.scipy.sparse.linalg.cg` takes another for its start, which is zero."""

    def step(_: Any, state: Any) -> Any:
        x, r, p, square = state
        Ap = matvec(p)
        alpha = square / _dot(p, Ap)
        x = jax.tree.map(lambda a, c: a + alpha * c, x, p)
        r = jax.tree.map(lambda a, c: a - alpha * c, r, Ap)
        after = _dot(r, r)
        return x, r, jax.tree.map(lambda a, c: a + (after / square) * c, r, p), after

    return jax.lax.fori_loop(0, steps, step, (jax.tree.map(jnp.zeros_like, b), b, b, _dot(b, b)))[0]


def _dot(x: Any, y: Any) -> Any:
    return sum(jnp.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (x, y)), strict=True))


def _jaxopt(case: BenchmarkCase, loss: Any) -> Any:
    if case.solver_steps is None:
        return None
    import jaxopt

    def proximal(theta: Any, params: Any, support: Any) -> Any:
        difference = jaxopt.tree_util.tree_sub(theta, params)
        near = jaxopt.tree_util.tree_l2_norm(difference, squared=True)
        return loss(theta, support) + 0.5 * case.regularization * near

    solver = jaxopt.GradientDescent(
        proximal,
        stepsize=case.lr,
        maxiter=case.steps,
        tol=0.0,
        acceleration=False,
        implicit_diff_solve=partial(jaxopt.linear_solve.solve_cg, tol=0.0, maxiter=case.solver_steps),
    )

    def query_loss(params: Any, support: Any, query: Any) -> Any:
        return loss(solver.run(jax.lax.stop_gradient(params), params, support).params, query)

    return jax.value_and_grad(query_loss)


def _loss(case: BenchmarkCase) -> Callable[[Any, Any], Any]:
    return _perceptron(case.network) if isinstance(case.network, MLP) else _convolutional(case.network)


def _perceptron(network: MLP) -> Callable[[Any, Any], Any]:
    last = len(network.sizes) - 2

    def loss(params: Any, batch: Any) -> Any:
        h = batch["x"]
        for i in range(last + 1):
            h = h @ params[f"w{i}"] + params[f"b{i}"]
            h = jax.nn.relu(h) if i < last else h
        return _cross_entropy(h, batch["y"]) if network.classifier else jnp.mean((h - batch["y"]) ** 2)

    return loss


def _convolutional(network: ConvNet) -> Callable[[Any, Any], Any]:
    def loss(params: Any, batch: Any) -> Any:
        x = batch["x"][..., None]
        for i in range(network.blocks):
            x = jax.lax.conv_general_dilated(
                x, params[f"kernel{i}"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
            x = (x - mean) * jax.lax.rsqrt(variance + 1e-3) * params[f"scale{i}"] + params[f"shift{i}"]
            x = jax.nn.relu(x)
        return _cross_entropy(x.mean(axis=(1, 2)) @ params["w"] + params["b"], batch["y"])

    return loss


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))
