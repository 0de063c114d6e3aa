"""Closed forms on quadratics l(v) = v.Hv/2 - c.v + constant, from H and c alone: no derivative is taken anywhere.

With support (H, c), query (G, d), rates as the diagonal matrix R, and v_0 = phi:
  v_K by v_{k+1} = v_k - R (H v_k - c)
  FO-MAML: G v_K - d        MAML: ((I - R H)^K)^T (G v_K - d)        Reptile: phi - v_K on support and query together
  iMAML: (I + H/lambda)^{-1} (G v_K - d), with H v - c + lambda (v - phi) in place of H v - c in the inner loop
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.task import Task
from metaspec_conformance.judging.numpy_trees import cast, leaves, ravel, unravel
from metaspec_conformance.oracles import dense_oracle
from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients
from metaspec_conformance.scenarios.scenario import Scenario

NAME = "closed form in extended precision"


@dataclass(frozen=True)
class QuadraticForm:
    """v.Hv/2 - c.v + constant."""

    H: Any
    c: Any
    constant: Any

    def gradient(self, v: Any) -> Any:
        return np.sum(self.H * v, axis=1) - self.c

    def value(self, v: Any) -> Any:
        return np.sum(v * (self.gradient(v) - self.c)) / 2 + self.constant


def compute(scenario: Scenario, task: Task) -> dict[str, Any]:
    """delta, adapted and query_loss of one task."""
    algo: Any = scenario.algorithm
    name = scenario.algorithm_name
    params, task = cast((scenario.params, task), np.longdouble)
    phi = ravel(params)
    support = form(scenario.loss, task.support)
    query = support if task.query is None else form(scenario.loss, task.query)
    joins = name == "Reptile" and scenario.form != "adapt" and task.query is not None
    inner = joined(scenario.loss, task) if joins else support
    rates = rate_vector(algo.inner.lr, params)
    strength = np.longdouble(algo.regularization if name == "IMAML" else 0)
    v = phi
    for _ in range(algo.inner.steps):
        v = v - rates * (inner.gradient(v) + strength * (v - phi))
    adapted = unravel(v, params)
    if scenario.form == "adapt":
        return {"adapted": adapted}
    g = query.gradient(v)
    if name == "MAML":
        step = np.eye(len(v), dtype=np.longdouble) - rates[:, None] * support.H
        for _ in range(algo.inner.steps):
            g = np.sum(step * g[:, None], axis=0)
    elif name == "Reptile":
        g = phi - v
    elif name == "IMAML":
        g = _implicit(algo.solver, support.H / strength, g)
    return {"delta": unravel(g, params), "adapted": adapted, "query_loss": query.value(v)}


def _implicit(solver: Any, scaled: Any, g: Any) -> Any:
    A = scaled + (1 + np.longdouble(solver.damping)) * np.eye(len(g), dtype=np.longdouble)
    if hasattr(solver, "steps") and solver.tol is None:
        return conjugate_gradients(A, g, solver.steps)
    return dense_oracle.solve(A, g)


def form(loss: Any, batch: Any) -> QuadraticForm:
    """The quadratic that a loss of `losses.LOSSES` is on a batch of longdouble arrays, all leaves as one vector."""
    if loss == "quadratic":
        return QuadraticForm(batch["H"], batch["c"], np.longdouble(0))
    if loss == "linear":
        c = np.concatenate([np.mean(leaf, axis=0).reshape(-1) for leaf in leaves(batch)])
        return QuadraticForm(np.zeros((len(c), len(c)), np.longdouble), -c, np.longdouble(0))
    y = batch["y"]
    n = len(y)
    X = np.concatenate([leaf.reshape(n, -1) for leaf in leaves(batch["x"]) if leaf.size], axis=1)
    H = np.sum(X[:, :, None] * X[:, None, :], axis=0) / n
    return QuadraticForm(H, np.sum(X * y[:, None], axis=0) / n, np.sum(y * y) / (2 * n))


def joined(loss: Any, task: Task) -> QuadraticForm:
    """The mean over all examples: the two means weighted by their counts."""
    a, b = form(loss, task.support), form(loss, task.query)
    m, n = (np.longdouble(len(leaves(batch)[0])) for batch in task)
    return QuadraticForm(*((m * p + n * q) / (m + n) for p, q in ((a.H, b.H), (a.c, b.c), (a.constant, b.constant))))


def rate_vector(lr: Any, params: Any) -> Any:
    """The diagonal of R as one vector."""
    if isinstance(lr, float):
        return np.full(ravel(params).shape, lr, np.longdouble)
    pairs = zip(leaves(lr), leaves(params), strict=True)
    return np.concatenate([np.broadcast_to(rate, w.shape).reshape(-1) for rate, w in pairs]).astype(np.longdouble)
