"""CAVIA (Zintgraf, Shiarlis, Kurin, Hofmann, Whiteson 2019, "Fast Context Adaptation via Meta-Learning").

    c_0 = 0,  c_{k+1} = c_k - lr * grad_c l_support(c_k, psi)
    delta = d l_query(c_K(psi), psi) / d psi

The parameters are a context c, which every task adapts from zero, and all others, psi, which the inner loop does not
move. The context is not meta-learned: its delta is zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metaspec.algorithms.adjoint import CHECKPOINTS, Checkpoint, checkpointed_vjp
from metaspec.algorithms.base import query_gradient, result
from metaspec.algorithms.inner_loop import InnerLoop, inner_loop
from metaspec.algorithms.meta import initial_meta, learned_inputs, with_learned
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_choice
from metaspec.inner.base import InnerRule, check_inner
from metaspec.task import Array, Loss, MetaGradient, Task, Tree


@dataclass(frozen=True)
class CAVIA:
    """The exact meta-gradient of parameters around a context that each task adapts from zero.

    Attributes:
        inner: The inner rule of the context.
        context: Patterns of the names of the context's leaves, "context" or "context/**".
        checkpoint: As for `MAML`.

    Raises:
        InvalidArgumentError: At the first call, a pattern that matches no leaf.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> loss = lambda p, batch: ((p["w"] * batch["x"] + p["context"] - batch["y"]) ** 2).mean()
        >>> task = ms.Task(*({"x": np.ones(3), "y": np.full(3, y)} for y in (2.0, 3.0)))
        >>> algo = ms.CAVIA(ms.GradientDescent(lr=0.1, steps=2), context="context")
        >>> r = ms.meta_gradient(algo, loss, {"w": np.array(1.0), "context": np.array(5.0)}, task)
        >>> float(r.delta["context"]), float(np.round(r.adapted["context"], 6))
        (0.0, 0.36)
    """

    inner: InnerRule
    context: str | Sequence[str]
    checkpoint: Checkpoint = "none"

    def __post_init__(self) -> None:
        check_inner(self.inner, "CAVIA")
        check_choice(self.checkpoint, "CAVIA: checkpoint", CHECKPOINTS)

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return what is meta-learned: a Meta of `params` and the learned inputs, or `params` where there are none."""
        return initial_meta(learned_inputs(self.inner), params, self.inner.steps, backend)

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return the parameters with the context that `batch` gives."""
        loop = self._loop(B, loss, params, batch)
        return loop.adapted(loop.run())

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return delta as the module's formula has it."""
        loop = self._loop(B, loss, params, task.support)

        def endpoint(x: Tree) -> tuple[Tree, tuple[Tree, Array, Tree]]:
            theta = loop.adapted(x)
            query_loss, aux, gradient = query_gradient(B, loss, theta, task)
            return loop.cotangent(x, gradient), (theta, query_loss, aux)

        v, (theta, query_loss, aux) = checkpointed_vjp(
            B, loop.step, loop.start(), self.inner.steps, endpoint, self.checkpoint
        )
        return result(B, with_learned(*loop.meta_update(v)), theta, query_loss, aux)

    def _loop(self, B: Backend, loss: Loss, meta: Tree, batch: Tree) -> InnerLoop:
        return inner_loop(B, self.inner, loss, meta, batch, algorithm="CAVIA", adapt=self.context, from_zero=True)
