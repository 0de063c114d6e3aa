"""MAML (Finn, Abbeel, Levine 2017, "Model-Agnostic Meta-Learning").

    theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
    delta = grad_phi l_query(theta_K(phi)) = (I - lr H_0) (I - lr H_1) ... (I - lr H_{K-1}) grad l_query(theta_K)

H_k is the Hessian of l_support at theta_k. Read from the right, the product is a walk backwards along the inner path:

    v = grad l_query(theta_K);  for k = K-1 .. 0:  v = v - lr * H_k v;  delta = v
"""

from dataclasses import dataclass
from typing import Any

from metaspec.algorithms.adjoint import CHECKPOINTS, Checkpoint, Link, there_and_back
from metaspec.algorithms.base import Loss, gradient_on, query_gradient, result
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_choice
from metaspec.inner.gradient_descent import InnerOptimizer, check_inner, descend
from metaspec.task import Array, MetaGradient, Task, Tree


@dataclass(frozen=True)
class MAML:
    """The exact meta-gradient, second-order terms included.

    Attributes:
        inner: The inner optimiser, e.g. GradientDescent(lr=0.1, steps=5).
        checkpoint: What is kept of the path between the walk there and the walk back. "none": all that the products
            need, K times what a gradient computes on its way. "recompute": the points alone; each linearisation is
            computed again. "sqrt": about 2 sqrt(K) points; the stretches between them are walked again. They take up
            to 4/3 and 5/3 of the time, and agree up to rounding. docs/performance.md has the figures.

    Example:
        >>> from metaspec import MAML, GradientDescent
        >>> algo = MAML(GradientDescent(lr=0.1, steps=5))
    """

    inner: InnerOptimizer
    checkpoint: Checkpoint = "none"

    def __post_init__(self) -> None:
        check_inner(self.inner, "MAML")
        check_choice(self.checkpoint, "MAML: checkpoint", CHECKPOINTS)

    def adapt(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """theta_K on `batch`."""
        return descend(B, self.inner, gradient_on(B, loss, batch), params)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """The support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Delta as the module's formula has it; only gradients and Hessian-vector products are used."""
        inner, gradient = self.inner, gradient_on(B, loss, task.support)
        linearize_grad = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])

        def linearize(theta: Tree) -> tuple[Tree, Any]:
            gradient, hvp = linearize_grad(theta, task.support)
            return inner.update(B, theta, gradient), hvp

        def turn(theta: Tree) -> tuple[Tree, tuple[Tree, Array, Any]]:
            query_loss, aux, v = query_gradient(B, loss, theta, task)
            return v, (theta, query_loss, aux)

        step = Link(
            advance=lambda theta: inner.update(B, theta, gradient(theta)),
            linearize=linearize,
            pull=lambda v, hvp: inner.pull_back(B, v, hvp),
        )
        v, (theta, query_loss, aux) = there_and_back(B, step, params, inner.steps, turn, self.checkpoint)
        return result(B, v, theta, query_loss, aux)
