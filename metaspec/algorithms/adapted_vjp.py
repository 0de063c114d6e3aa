"""The pull-back of adaptation: v -> v d theta_K / d phi, by the algorithm's own adjoint.

The meta-gradient for the query loss <v, theta> is exactly this product, so an algorithm needs no second formula. MAML
gives the chain (I - lr H_0) ... (I - lr H_{K-1}) v, iMAML the solution x of (I + H / lambda) x = v, FO-MAML, which
takes every H as zero, v itself. Reptile's meta-update is no gradient; its inner loop is MAML's.

Each function takes the cotangent v last, and computes in the context of the call that it belongs to.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from metaspec.algorithms.base import Algorithm
from metaspec.algorithms.imaml import IMAML
from metaspec.algorithms.maml import MAML
from metaspec.algorithms.meta_batch import over_tasks
from metaspec.algorithms.reptile import Reptile
from metaspec.algorithms.sigma_reptile import SigmaReptile
from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.inner.proximal import Sigma
from metaspec.task import Array, Loss, MetaGradient, Task, Tree
from metaspec.trees import add, dot, scale, tree_map, zeros_like


class Cotangent(NamedTuple):
    """A query set that stands for the loss <tree, theta>."""

    tree: Tree


def adapted_vjp(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Callable[[], Tree], v: Tree) -> Tree:
    """Return v d theta_K / d phi, theta_K being what `algo` reaches from phi = `params` on `batch()`."""
    with computing(B, params):
        return _linear_meta_gradient(B, algo, loss, params, batch(), v).delta


def adapted_vjp_over_tasks(
    B: Backend, algo: Algorithm, loss: Loss, params: Tree, tasks: Task, count: int, chunk: int, v: Tree
) -> Tree:
    """Return the sum over stacked tasks of `adapted_vjp`; `v` has their cotangents, stacked on axis 0."""

    def one(task: Task) -> MetaGradient:
        batch = algo.inner_batch(B, Task(*task.support))
        return _linear_meta_gradient(B, algo, loss, params, batch, task.query.tree)

    with computing(B, params):
        return scale(B, count, over_tasks(B, one, params, Task(tuple(tasks), Cotangent(v)), count, chunk).delta)


def adapted_vjp_in_turn(B: Backend, algo: Algorithm, loss: Loss, params: Tree, tasks: Sequence[Task], v: Tree) -> Tree:
    """Return the sum over tasks of any sizes of `adapted_vjp`; `v` has their cotangents, stacked on axis 0."""
    total = zeros_like(B, params)
    with computing(B, params):
        for i, task in enumerate(tasks):
            row = tree_map(B, lambda leaf, i=i: leaf[i, ...], v)
            batch = algo.inner_batch(B, task)
            total = add(B, total, _linear_meta_gradient(B, algo, loss, params, batch, row).delta)
    return total


def _linear_meta_gradient(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, v: Tree) -> MetaGradient:
    def with_linear_query(theta: Tree, batch: Tree) -> tuple[Array, Any]:
        return (dot(B, theta, batch.tree), None) if isinstance(batch, Cotangent) else loss(theta, batch)

    r = _chain(algo).meta_gradient(B, with_linear_query, params, Task(batch, Cotangent(v)))
    return r._replace(state=None)


def _chain(algo: Any) -> Algorithm:
    """The algorithm whose meta-update is the gradient of the query loss at what `algo` reaches."""
    if isinstance(algo, Reptile):
        return MAML(algo.inner, minibatches=algo.minibatches)
    if isinstance(algo, SigmaReptile):
        return IMAML(algo.inner, Sigma(algo.sigma), algo.solver)
    if isinstance(algo, MAML) and algo.query_weights is not None:
        return replace(algo, query_weights=None)
    found: Algorithm = algo
    return found
