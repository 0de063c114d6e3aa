"""Backpropagation through the unrolled inner loop in extended precision.

Neither the chain of Hessian-vector products nor anything of metaspec.algorithms is used: the loop is written out here
and the NumPy tracer's pull-back goes through all of it. iMAML's system is written out as a matrix.

`rounding` is applied to whatever an implementation would have rounded: what goes into and what comes out of every
gradient, and every step. As the identity it gives the reference; with random factors 1 + u it tells how far rounding
errors are amplified (see metaspec.conformance.errors).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metaspec.choice import backend_context
from metaspec.conformance.losses import loss_of
from metaspec.conformance.oracles import dense
from metaspec.conformance.plain import cast, leaves, ravel, tree_map, unravel
from metaspec.conformance.scenario import Scenario
from metaspec.task import Task, Tree

NAME = "backpropagation through the unrolled loop in extended precision"

Rounding = Callable[[Tree], Tree]


def exact(tree: Tree) -> Tree:
    """No rounding."""
    return tree


def compute(scenario: Scenario, task: Task, rounding: Rounding = exact) -> dict[str, Any]:
    """delta, adapted and query_loss of one task; of iMAML also its system `matrix` and `rhs`."""
    with backend_context("numpy") as B:
        return _compute(B, scenario, cast(task, np.longdouble), rounding)


def _compute(B: Any, scenario: Scenario, task: Task, rounding: Rounding) -> dict[str, Any]:
    algo: Any = scenario.algorithm
    name = scenario.algorithm_name
    phi = cast(scenario.params, np.longdouble)
    loss = loss_of(scenario.loss)
    query = task.support if task.query is None else task.query
    whole = name == "Reptile" and scenario.form != "adapt" and task.query is not None
    data = tree_map(lambda a, b: np.concatenate([a, b]), task.support, task.query) if whole else task.support

    def value(theta: Tree, batch: Tree) -> Any:
        return loss(rounding(theta), rounding(batch))

    def gradient(theta: Tree, batch: Tree) -> Tree:
        reached, pull = B.vjp(lambda theta: value(theta, batch), theta)
        return rounding(pull(B.xp.ones_like(reached))[0])

    def inner(phi: Tree) -> Tree:
        theta = phi
        for _ in range(algo.inner.steps):
            g = gradient(theta, data)
            if name == "IMAML":
                g = tree_map(lambda g, t, p: g + algo.regularization * (t - p), g, theta, phi)
            theta = rounding(_step(theta, algo.inner.lr, g))
        return theta

    theta = inner(phi)
    if scenario.form == "adapt":
        return {"adapted": theta}
    found: dict[str, Any] = {"adapted": theta, "query_loss": rounding(np.asarray(value(theta, query)))}
    if name == "MAML":
        reached, pull = B.vjp(lambda phi: value(inner(phi), query), phi)
        return found | {"delta": rounding(pull(np.ones_like(reached))[0])}
    if name == "Reptile":
        return found | {"delta": tree_map(lambda a, b: a - b, phi, theta)}
    if name == "FOMAML":
        return found | {"delta": gradient(theta, query)}
    matrix = _matrix(B, lambda theta: gradient(theta, task.support), theta, algo, rounding)
    rhs = ravel(gradient(theta, query))
    if hasattr(algo.solver, "steps") and algo.solver.tol is None:
        delta = dense.conjugate_gradients(matrix, rhs, algo.solver.steps, rounding)
    else:
        delta = dense.solve(matrix, rhs)
    return found | {"delta": unravel(delta, theta), "matrix": matrix, "rhs": rhs}


def _matrix(B: Any, gradient: Callable[[Tree], Tree], theta: Tree, algo: Any, rounding: Rounding) -> Any:
    """I + H / lambda + damping I, its rows the pulled-back unit vectors."""
    _, pull = B.vjp(gradient, theta)
    unit = np.eye(sum(leaf.size for leaf in leaves(theta)), dtype=np.longdouble)
    rows = [ravel(rounding(pull(unravel(e, theta))[0])) for e in unit]
    return np.stack(rows) / algo.regularization + (1 + algo.solver.damping) * unit


def _step(theta: Tree, lr: Any, g: Tree) -> Tree:
    if isinstance(lr, float):
        return tree_map(lambda t, g: t - np.longdouble(lr) * g, theta, g)
    return tree_map(lambda t, r, g: t - np.asarray(r).astype(np.longdouble) * g, theta, lr, g)


def perturbation(size: float, seed: int) -> Rounding:
    """Every floating entry times 1 + size or 1 - size, at random; a new draw at each application."""
    rng = np.random.default_rng(seed)

    def rounding(tree: Tree) -> Tree:
        def leaf(x: Any) -> Any:
            dtype = np.dtype(x.dtype)
            if dtype.kind != "f":
                return x
            signs = rng.integers(0, 2, size=x.shape) * 2 - 1
            return x * (1 + np.longdouble(size) * np.asarray(signs).astype(np.longdouble))

        return tree_map(leaf, tree)

    return rounding
