"""First-order MAML (Finn, Abbeel, Levine 2017, section 5.2): MAML with every Hessian H_k taken as zero.

theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
delta = grad l_query(theta_K)
"""

from dataclasses import dataclass

from metaspec.algorithms.base import gradient_on, query_gradient, result
from metaspec.backend.protocol import Backend
from metaspec.inner.base import InnerOptimizer, check_inner, descend
from metaspec.task import Loss, MetaGradient, Task, Tree


@dataclass(frozen=True)
class FOMAML:
    """First-order MAML: the gradient of the query loss at the adapted parameters, every Hessian taken as zero.

    Attributes:
        inner: The inner optimiser, e.g. GradientDescent(lr=0.1, steps=5).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(lr=0.1, steps=1)), loss, params, task(2.0))
        >>> float(r.delta["w"].round(6))
        -3.6
    """

    inner: InnerOptimizer

    def __post_init__(self) -> None:
        check_inner(self.inner, "FOMAML")

    def adapt(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """theta_K on `batch`."""
        return descend(B, self.inner, gradient_on(B, loss, batch), params)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """The support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Delta as the module's formula has it."""
        theta = self.adapt(B, loss, params, task.support)
        query_loss, aux, delta = query_gradient(B, loss, theta, task)
        return result(B, delta, theta, query_loss, aux)
