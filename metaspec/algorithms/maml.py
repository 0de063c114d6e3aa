"""MAML (Finn, Abbeel, Levine 2017, "Model-Agnostic Meta-Learning").

    theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
    delta = grad_phi l_query(theta_K(phi)) = (I - lr H_0) (I - lr H_1) ... (I - lr H_{K-1}) grad l_query(theta_K)

H_k is the Hessian of l_support at theta_k. Read from the right, the product is computed backwards along the inner path:

    v = grad l_query(theta_K);  for k = K-1 .. 0:  v = v - lr * H_k v;  delta = v
"""

from dataclasses import dataclass
from typing import Any

from metaspec.algorithms.adjoint import CHECKPOINTS, Checkpoint, Step, checkpointed_vjp
from metaspec.algorithms.base import gradient_on, query_gradient, result
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_choice
from metaspec.inner.base import InnerOptimizer, check_inner, descend
from metaspec.task import Array, Loss, MetaGradient, Task, Tree


@dataclass(frozen=True)
class MAML:
    """MAML: the exact meta-gradient of the query loss at theta_K, second-order terms included.

    Attributes:
        inner: The inner optimiser, e.g. GradientDescent(lr=0.1, steps=5).
        checkpoint: What the forward pass keeps for the backward pass. "none": all that the products need, K times the
            intermediate values of a gradient. "recompute": the points theta_k alone; each linearisation is computed
            again. "sqrt": about 2 sqrt(K) points; the segments between them are run again. The last two take up to
            4/3 and 5/3 of the time, and all agree up to rounding. docs/performance.md has the figures.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> r = ms.meta_gradient(ms.MAML(ms.GradientDescent(lr=0.1, steps=1)), loss, params, task(2.0))
        >>> float(r.delta["w"].round(6))
        -2.88
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

        def endpoint(theta: Tree) -> tuple[Tree, tuple[Tree, Array, Any]]:
            query_loss, aux, v = query_gradient(B, loss, theta, task)
            return v, (theta, query_loss, aux)

        step = Step(
            advance=lambda theta: inner.update(B, theta, gradient(theta)),
            linearize=linearize,
            pull_back=lambda v, hvp: inner.pull_back(B, v, hvp),
        )
        v, (theta, query_loss, aux) = checkpointed_vjp(B, step, params, inner.steps, endpoint, self.checkpoint)
        return result(B, v, theta, query_loss, aux)
