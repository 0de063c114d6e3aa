"""MAML (Finn, Abbeel, Levine 2017, "Model-Agnostic Meta-Learning").

    theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
    delta = grad_phi l_query(theta_K(phi)) = (I - lr H_0) (I - lr H_1) ... (I - lr H_{K-1}) grad l_query(theta_K)

H_k is the Hessian of l_support at theta_k. Read from the right, the product is a walk backwards along the inner path:

    v = grad l_query(theta_K);  for k = K-1 .. 0:  v = v - lr * H_k v;  delta = v
"""

from collections.abc import Callable
from dataclasses import dataclass

from metaspec.algorithm import Loss, gradient_on, query_gradient, result
from metaspec.inner import InnerOptimizer, check_inner, descend
from metaspec.protocol import Backend
from metaspec.task import MetaGradient, Task, Tree


@dataclass(frozen=True)
class MAML:
    """The exact meta-gradient, second-order terms included.

    Attributes:
        inner: The inner optimiser, e.g. GradientDescent(lr=0.1, steps=5).

    Example:
        >>> from metaspec import MAML, GradientDescent
        >>> algo = MAML(GradientDescent(lr=0.1, steps=5))
    """

    inner: InnerOptimizer

    def __post_init__(self) -> None:
        check_inner(self.inner, "MAML")

    def adapt(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """theta_K on `batch`."""
        return descend(B, self.inner, gradient_on(B, loss, batch), params)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """The support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Delta as the module's formula has it; only gradients and Hessian-vector products are used."""
        linearize = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])
        theta, products = params, list[Callable[[Tree], Tree]]()
        for _ in range(self.inner.steps):
            gradient, hvp = linearize(theta, task.support)
            theta, products = self.inner.update(B, theta, gradient), [*products, hvp]
        query_loss, aux, v = query_gradient(B, loss, theta, task)
        for hvp in reversed(products):
            v = self.inner.pull_back(B, v, hvp)
        return result(B, v, theta, query_loss, aux)
