"""First-order MAML (Finn, Abbeel, Levine 2017, section 5.2): MAML with every Hessian H_k taken as zero.

theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
delta = grad l_query(theta_K)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from metaspec.algorithms.base import query_gradient, result
from metaspec.algorithms.inner_loop import InnerLoop, inner_loop
from metaspec.algorithms.minibatches import Minibatches
from metaspec.backend.protocol import Backend
from metaspec.inner.base import InnerRule, check_inner, learned_inputs
from metaspec.inner.learned import Meta, initial_meta, with_learned
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import zeros_like


@dataclass(frozen=True)
class FOMAML:
    """First-order MAML: the gradient of the query loss at the adapted parameters, every Hessian taken as zero.

    Learned inputs of the rule have gradients of order two alone, which are dropped: their delta is zero.

    Attributes:
        inner: The inner rule, e.g. GradientDescent(lr=0.1, steps=5).
        adapt: Patterns of the names of the leaves that the inner loop moves, as for `MAML`; None moves all.
        minibatches: None for the whole support set at each step, else `Minibatches(size)`.

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

    inner: InnerRule
    adapt: str | Sequence[str] | None = None
    minibatches: Minibatches | None = None
    second_order: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_inner(self.inner, "FOMAML")

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return what is meta-learned: a Meta of `params` and the learned inputs, or `params` where there are none."""
        return initial_meta(learned_inputs(self.inner), params, self.inner.steps, backend)

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return theta_K on `batch`."""
        return self.inner_loop(B, loss, params, batch).end()[0]

    def inner_loop(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> InnerLoop:
        """Return the inner loop from `params` on `batch`."""
        return inner_loop(
            B, self.inner, loss, params, batch, algorithm="FOMAML", adapt=self.adapt, minibatches=self.minibatches
        )

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return delta as the module's formula has it."""
        theta, state = self.inner_loop(B, loss, params, task.support).end()
        query_loss, aux, delta = query_gradient(B, loss, theta, task)
        learned = zeros_like(B, params.learned) if isinstance(params, Meta) else {}
        return result(B, with_learned(delta, learned), theta, query_loss, aux, state)
