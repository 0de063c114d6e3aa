"""Hand-written JAX: jit(vmap(grad)) through the unrolled loop, a map over tasks; iMAML, and jaxopt's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from metaspec.benchmarks.cases import Case
from metaspec.benchmarks.forms import Built, Form
from metaspec.nn import MLP, ConvNet

OverTasks = Callable[[Callable[..., Any], Any], Any]
LONG = 16  # inner steps beyond which the loop is a scan, as its documentation recommends where compiling takes long


def forms() -> list[Form]:
    """Both ways over tasks, each compiled; jaxopt's implicit differentiation likewise."""
    jaxopt = (("jaxopt", "jaxopt"),)
    return [
        Form("jax, jit(vmap(grad))", "hand-written", partial(_build, _vmap, _one)),
        Form("jax, jit(map(grad))", "hand-written", partial(_build, _map, _one)),
        Form("jaxopt, implicit, vmap", "library", partial(_build, _vmap, _jaxopt), jaxopt),
        Form("jaxopt, implicit, map", "library", partial(_build, _map, _jaxopt), jaxopt),
    ]


def _build(over_tasks: OverTasks, method: Callable[[Case, Any], Any], case: Case) -> Built | None:
    loss = _perceptron(case.network) if isinstance(case.network, MLP) else _convolutional(case.network)
    one = method(case, loss)
    if one is None:
        return None
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


def _descend(case: Case, gradient: Callable[[Any], Any], theta: Any) -> Any:
    def step(theta: Any, _: Any = None) -> tuple[Any, None]:
        return jax.tree.map(lambda p, g: p - case.lr * g, theta, gradient(theta)), None

    if case.steps > LONG:
        return jax.lax.scan(step, theta, None, length=case.steps)[0]
    for _ in range(case.steps):
        theta, _ = step(theta)
    return theta


def _one(case: Case, loss: Any) -> Any:
    if case.solver_steps is not None:
        return _imaml(case, loss)

    def query_loss(params: Any, support: Any, query: Any) -> Any:
        return loss(_descend(case, lambda theta: jax.grad(loss)(theta, support), params), query)

    return jax.value_and_grad(query_loss)


def _imaml(case: Case, loss: Any) -> Any:
    def solved(params: Any, support: Any, query: Any) -> Any:
        def proximal(theta: Any) -> Any:
            near = sum(jnp.sum((p - q) ** 2) for p, q in zip(*map(jax.tree.leaves, (theta, params)), strict=True))
            return loss(theta, support) + 0.5 * case.regularization * near

        theta = _descend(case, jax.grad(proximal), params)
        value, b = jax.value_and_grad(loss)(theta, query)
        _, product = jax.linearize(
            jax.grad(proximal), theta
        )  # H + lambda I: the same steps for A x = b and c A x = c b
        scaled = jax.tree.map(lambda leaf: case.regularization * leaf, b)
        return value, jax.scipy.sparse.linalg.cg(product, scaled, tol=0.0, maxiter=case.solver_steps)[0]

    return solved


def _jaxopt(case: Case, loss: Any) -> Any:
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
