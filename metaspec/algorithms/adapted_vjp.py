"""The pull-back of adaptation: v -> v d theta_K / d phi, by the algorithm's own adjoint.

The meta-gradient for the query loss <v, theta> is exactly this product, so an algorithm needs no second formula. MAML
gives the chain (I - lr H_0) ... (I - lr H_{K-1}) v, iMAML the solution x of (I + H / lambda) x = v, FO-MAML, which
takes every H as zero, v itself. Reptile's meta-update is no gradient; its inner loop is MAML's.
"""

from typing import Any, NamedTuple

from metaspec.algorithms.base import Algorithm, Loss
from metaspec.algorithms.batching import over_tasks
from metaspec.algorithms.maml import MAML
from metaspec.algorithms.reptile import Reptile
from metaspec.backend.protocol import Backend
from metaspec.task import Array, MetaGradient, Task, Tree
from metaspec.trees import dot, scale


class Cotangent(NamedTuple):
    """A query set that stands for the loss <tree, theta>."""

    tree: Tree


def adapted_vjp(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, v: Tree) -> Tree:
    """Return v d theta_K / d phi, theta_K being what `algo` reaches from phi = `params` on `batch`."""
    return _linear_meta_gradient(B, algo, loss, params, batch, v).delta


def adapted_vjp_over_tasks(
    B: Backend, algo: Algorithm, loss: Loss, params: Tree, tasks: Task, v: Tree, count: int, chunk: int
) -> Tree:
    """Return the sum over stacked tasks of `adapted_vjp`; `v` has their cotangents, stacked on axis 0."""

    def one(task: Task) -> MetaGradient:
        batch = algo.inner_batch(B, Task(*task.support))
        r = _linear_meta_gradient(B, algo, loss, params, batch, task.query.tree)
        return r._replace(aux=None)

    return scale(B, count, over_tasks(B, one, params, Task(tuple(tasks), Cotangent(v)), count, chunk).delta)


def _linear_meta_gradient(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, v: Tree) -> MetaGradient:
    def with_linear_query(theta: Tree, batch: Tree) -> tuple[Array, Any]:
        return (dot(B, theta, batch.tree), None) if isinstance(batch, Cotangent) else loss(theta, batch)

    chain: Algorithm = MAML(algo.inner) if isinstance(algo, Reptile) else algo
    return chain.meta_gradient(B, with_linear_query, params, Task(batch, Cotangent(v)))
