"""Reptile (Nichol, Achiam, Schulman 2018, "On First-Order Meta-Learning Algorithms").

theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l(theta_k),  l over the *whole* task: support and query joined
delta = phi - theta_K

With K = 1 this is lr times the gradient of joint training. At meta-test the inner loop sees the support set alone.
"""

from dataclasses import dataclass
from typing import ClassVar

from metaspec.algorithms.base import is_empty, result
from metaspec.algorithms.inner_loop import InnerLoop, inner_loop
from metaspec.algorithms.minibatches import Minibatches
from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import InnerRule, check_inner, learned_inputs
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import concatenate, subtract


@dataclass(frozen=True)
class Reptile:
    """Reptile: the displacement of the inner loop, phi - theta_K, as the meta-gradient.

    Support and query are joined along axis 0 of every leaf, which must therefore run over examples, and the loss should
    be a mean over them. An empty query set (None, or zero examples) leaves the support set alone; `query_loss` and
    `aux` are then those of the support set.

    Attributes:
        inner: The inner rule, e.g. GradientDescent(lr=0.1, steps=5).
        minibatches: None for the whole batch at each step, else `Minibatches(size)`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> r = ms.meta_gradient(ms.Reptile(ms.GradientDescent(lr=0.1, steps=1)), loss, params, task(2.0))
        >>> float(r.delta["w"].round(6))
        -0.3
    """

    inner: InnerRule
    minibatches: Minibatches | None = None
    second_order: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_inner(self.inner, "Reptile")
        if learned := learned_inputs(self.inner):
            raise InvalidArgumentError(
                f"Reptile: delta is no gradient, so {', '.join(learned)} cannot be learned with it; give a number"
            )

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return `params`: Reptile learns nothing beside them."""
        return params

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return theta_K on `batch`."""
        return self.inner_loop(B, loss, params, batch).end()[0]

    def inner_loop(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> InnerLoop:
        """Return the inner loop from `params` on `batch`."""
        return inner_loop(B, self.inner, loss, params, batch, algorithm="Reptile", minibatches=self.minibatches)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Support and query joined along axis 0.

        Raises:
            InvalidArgumentError: The two differ in structure or in more than axis 0, or a leaf is a scalar.
        """
        if is_empty(B, task.query):
            return task.support
        _check_joinable(B, task)
        return concatenate(B, task.support, task.query)

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Delta as the module's formula has it."""
        theta, state = self.inner_loop(B, loss, params, self.inner_batch(B, task)).end()
        query_loss, aux = loss(theta, task.support if is_empty(B, task.query) else task.query)
        return result(B, subtract(B, params, theta), theta, query_loss, aux, state)


def _check_joinable(B: Backend, task: Task) -> None:
    support, structure = B.tree_flatten(task.support)
    query, query_structure = B.tree_flatten(task.query)
    if structure != query_structure:
        raise InvalidArgumentError(
            f"task: Reptile joins support and query, so they need one structure; support has {structure}, query has "
            f"{query_structure}"
        )
    for path, a, b in zip(B.tree_paths(task.support), support, query, strict=True):
        shapes = [tuple(getattr(leaf, "shape", ())) for leaf in (a, b)]
        if not all(shapes) or shapes[0][1:] != shapes[1][1:]:
            raise InvalidArgumentError(
                f"task: Reptile joins support and query along axis 0 (examples); leaf {path} has shapes {shapes[0]} "
                f"and {shapes[1]}, which must have an axis 0 and agree after it"
            )
