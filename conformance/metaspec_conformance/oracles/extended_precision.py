"""Backpropagation through the unrolled inner loop in extended precision.

Neither the chain of Hessian-vector products nor anything of metaspec.algorithms is used: the loop is written out here
and the NumPy tracer's pull-back goes through all of it. iMAML's system is written out as a matrix.

A `Rounding` multiplies whatever an implementation would have rounded: what goes into and what comes out of every
gradient, every step, and every operation in between, of the derivatives too. Without one this is the reference; with
random factors 1 + u it tells how far rounding errors are amplified (see metaspec_conformance.judging.error_model).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.backend.selection import backend_context
from metaspec.task import Task, Tree
from metaspec_conformance.judging.numpy_trees import cast, leaves, tree_map, unravel
from metaspec_conformance.oracles import dense_oracle, unrolled_member
from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients
from metaspec_conformance.oracles.unrolled_member import is_member
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.scenario import Scenario

AT_ONCE = 1 << 16  # factors drawn at a time; most operations need a few
NAME = "backpropagation through the unrolled loop in extended precision"


@dataclass(frozen=True)
class Rounding:
    """Relative errors; `factors(shape)` is an array of that shape, a new one for each use. None: no errors."""

    factors: Callable[[tuple[int, ...]], Any] | None = None

    def __call__(self, tree: Tree) -> Tree:
        """The tree, each floating entry multiplied by a factor."""
        factors = self.factors
        if factors is None:
            return tree
        return tree_map(lambda x: x * factors(tuple(x.shape)) if np.dtype(x.dtype).kind == "f" else x, tree)

    def everywhere(self, B: Any, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """f with errors in what every operation gives."""
        return f if self.factors is None else B.perturbed(f, self.factors)


EXACT = Rounding()


def perturbation(size: float, seed: int) -> Rounding:
    """Every floating entry times 1 + size or 1 - size, at random; a new draw at each application."""
    rng = np.random.default_rng(seed)
    drawn, used = np.empty(0, np.longdouble), 0

    def factors(shape: tuple[int, ...]) -> Any:
        nonlocal drawn, used
        count = math.prod(shape)
        if used + count > drawn.size:
            signs = rng.integers(0, 2, size=max(count, AT_ONCE)) * 2 - 1
            drawn, used = 1 + np.longdouble(size) * signs.astype(np.longdouble), 0
        used += count
        return drawn[used - count : used].reshape(shape)

    return Rounding(factors)


def compute(scenario: Scenario, task: Task, rounding: Rounding = EXACT) -> dict[str, Any]:
    """delta, adapted and query_loss of one task; of iMAML also its system `matrix` and `rhs`."""
    algo: Any = scenario.algorithm
    with backend_context("numpy") as B:
        traced = rounding.everywhere(B, unrolled(B, scenario, rounding))
        found = traced(*arguments(scenario, task))
    return found if "rhs" not in found else found | {"delta": solution(algo.solver, found, scenario.params, rounding)}


def arguments(scenario: Scenario, task: Task) -> tuple[Tree, Task, Any, Any]:
    """What a function made by `unrolled` takes, in extended precision."""
    algo: Any = scenario.algorithm
    found: tuple[Tree, Task, Any, Any] = cast(
        (
            scenario.params,
            task,
            0.0 if is_member(algo) else algo.inner.lr,
            getattr(algo, "regularization", 1.0),
        ),
        np.longdouble,
    )
    return found


def unrolled(B: Any, scenario: Scenario, rounding: Rounding) -> Callable[[Tree, Task, Any, Any], dict[str, Any]]:
    """(params, task, rates, lambda) -> what `compute` gives, but iMAML's solution.

    Of `scenario` only the structure is used: it may be another one's with the same shapes.
    """
    algo: Any = scenario.algorithm
    name = scenario.algorithm_name
    loss = loss_of(scenario.loss)

    def value(theta: Tree, batch: Tree) -> Any:
        return loss(rounding(theta), rounding(batch))

    def gradient(theta: Tree, batch: Tree) -> Tree:
        reached, pull = B.vjp(lambda theta: value(theta, batch), theta)
        return rounding(pull(B.xp.ones_like(reached))[0])

    def inner(phi: Tree, data: Tree, lr: Any, strength: Any) -> Tree:
        theta = phi
        for _ in range(algo.inner.steps):
            g = gradient(theta, data)
            if name == "IMAML":
                g = tree_map(lambda g, t, p: g + strength * (t - p), g, theta, phi)
            theta = rounding(_step(theta, lr, g))
        return theta

    def of_member(meta: Tree, task: Task, lr: Any, strength: Any) -> dict[str, Any]:
        def path(meta: Tree) -> list[Tree]:
            return unrolled_member.path(B, algo, meta, lambda theta: gradient(theta, task.support), rounding)

        if scenario.form == "adapt":
            return {"adapted": path(meta)[-1]}

        def objective(meta: Tree) -> Any:
            visited = path(meta)
            if algo.query_weights is None:
                return B.xp.asarray(value(visited[-1], task.query))
            weighted = zip(algo.query_weights, visited[1:], strict=True)
            return B.xp.asarray(sum(w * value(theta, task.query) for w, theta in weighted))

        reached, pull = B.vjp(objective, meta)
        delta = rounding(pull(B.xp.ones_like(reached))[0])
        return {"adapted": path(meta)[-1], "query_loss": rounding(reached), "delta": delta}

    def result(phi: Tree, task: Task, lr: Any, strength: Any) -> dict[str, Any]:
        query = task.support if task.query is None else task.query
        data = task.support
        if name == "Reptile" and scenario.form != "adapt" and task.query is not None:
            data = tree_map(lambda a, b: B.xp.concat([a, b]), task.support, task.query)
        theta = inner(phi, data, lr, strength)
        if scenario.form == "adapt":
            return {"adapted": theta}
        found: dict[str, Any] = {"adapted": theta, "query_loss": rounding(B.xp.asarray(value(theta, query)))}
        if name == "MAML":
            reached, pull = B.vjp(lambda phi: value(inner(phi, data, lr, strength), query), phi)
            return found | {"delta": rounding(pull(B.xp.ones_like(reached))[0])}
        if name == "Reptile":
            return found | {"delta": tree_map(lambda a, b: a - b, phi, theta)}
        rhs = gradient(theta, query)
        if name == "FOMAML":
            return found | {"delta": rhs}
        matrix = _matrix(B, lambda theta: gradient(theta, data), theta, rounding) / strength
        matrix = matrix + (1 + algo.solver.damping) * np.eye(matrix.shape[0])
        return found | {"matrix": matrix, "rhs": _ravel(B.xp, rhs)}

    return of_member if is_member(algo) else result


def solution(solver: Any, system: dict[str, Any], like: Tree, rounding: Rounding) -> Tree:
    """iMAML's delta: the iterate after the solver's number of steps, or the exact solution."""
    matrix, rhs = system["matrix"], system["rhs"]
    if hasattr(solver, "steps") and solver.tol is None:
        return unravel(conjugate_gradients(matrix, rhs, solver.steps, rounding), like)
    return unravel(dense_oracle.solve(matrix, rhs), like)


def _matrix(B: Any, gradient: Callable[[Tree], Tree], theta: Tree, rounding: Rounding) -> Any:
    """H, its rows the pulled-back unit vectors."""
    _, pull = B.vjp(gradient, theta)
    unit = np.eye(sum(leaf.size for leaf in leaves(theta)), dtype=np.longdouble)
    like = tree_map(lambda leaf: np.zeros(leaf.shape), theta)
    rows = [_ravel(B.xp, rounding(pull(unravel(e, like))[0])) for e in unit]
    return B.xp.stack(rows)


def _ravel(xp: Any, tree: Tree) -> Any:
    return xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves(tree)])


def _step(theta: Tree, lr: Any, g: Tree) -> Tree:
    if hasattr(lr, "shape"):
        return tree_map(lambda t, g: t - lr * g, theta, g)
    return tree_map(lambda t, r, g: t - r * g, theta, lr, g)
