"""MAML (Finn, Abbeel, Levine 2017, "Model-Agnostic Meta-Learning").

    theta_0 = phi,  theta_{k+1} = theta_k - lr * grad l_support(theta_k)
    delta = grad_phi l_query(theta_K(phi)) = (I - lr H_0) (I - lr H_1) ... (I - lr H_{K-1}) grad l_query(theta_K)

H_k is the Hessian of l_support at theta_k. Read from the right, the product is computed backwards along the inner path:

    v = grad l_query(theta_K);  for k = K-1 .. 0:  v = v - lr * H_k v;  delta = v

Another inner rule changes a link of the chain (see `inner_loop`), weights on the path add to v where they stand,
truncation ends the chain early, and a start theta_0 = s(phi; support) is its first link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.algorithms.adjoint import CHECKPOINTS, Checkpoint, Step, checkpointed_vjp
from metaspec.algorithms.base import query_gradient, result
from metaspec.algorithms.inner_loop import InnerLoop, Start, inner_loop
from metaspec.algorithms.minibatches import Minibatches
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_choice, checked_integer, checked_number
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.base import InnerRule, check_inner, learned_inputs
from metaspec.inner.learned import initial_meta, with_learned
from metaspec.task import Array, Loss, MetaGradient, Task, Tree
from metaspec.trees import add, row, scale


@dataclass(frozen=True)
class MAML:
    """MAML: the exact meta-gradient of the query loss at theta_K, second-order terms included.

    Attributes:
        inner: The inner rule, e.g. GradientDescent(lr=0.1, steps=5).
        checkpoint: What the forward pass keeps for the backward pass. "none": all that the products need, K times the
            intermediate values of a gradient. "recompute": the points theta_k alone; each linearisation is computed
            again. "sqrt": about 2 sqrt(K) points; the segments between them are run again. The last two take up to
            4/3 and 5/3 of the time, and all agree up to rounding. docs/performance.md has the figures.
        adapt: Patterns of the names of the leaves that the inner loop moves, "head/**" or ["**", "!body/**"]; None
            moves all. The others are meta-learned through the losses alone (ANIL, BOIL).
        query_weights: None judges theta_K alone. K numbers w_1 ... w_K: the objective, and so `query_loss`, is
            sum_k w_k l_query(theta_k), the multi-step loss of MAML++.
        backprop_steps: None, or j: the chain ends after j steps, and delta is the gradient in theta_{K-j}.
        minibatches: None for the whole support set at each step, else `Minibatches(size)`.
        start: None, or s, a pure function of the parameters and the support set: theta_0 = s(phi; support), a tree like
            `params`, and delta is the derivative through s too (Proto-MAML's head, CAVIA's context).

    Raises:
        InvalidArgumentError: `query_weights` is not K numbers; `backprop_steps` is not in 0 ... K.

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

    inner: InnerRule
    checkpoint: Checkpoint = "none"
    adapt: str | Sequence[str] | None = None
    query_weights: Sequence[float] | None = None
    backprop_steps: int | None = None
    minibatches: Minibatches | None = None
    start: Start | None = None

    def __post_init__(self) -> None:
        check_inner(self.inner, "MAML")
        check_choice(self.checkpoint, "MAML: checkpoint", CHECKPOINTS)
        if self.start is not None and not callable(self.start):
            raise InvalidTypeError(f"MAML: start must be a function (params, support) -> params, got {self.start!r}")
        if self.query_weights is not None:
            object.__setattr__(self, "query_weights", _checked_weights(self.query_weights, self.inner.steps))
        if self.backprop_steps is not None:
            steps = checked_integer(self.backprop_steps, "MAML: backprop_steps", least=0)
            if steps > self.inner.steps:
                raise InvalidArgumentError(f"MAML: backprop_steps must be 0 to K = {self.inner.steps}, got {steps}")
            object.__setattr__(self, "backprop_steps", steps)

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return what is meta-learned: a Meta of `params` and the learned inputs, or `params` where there are none."""
        return initial_meta(learned_inputs(self.inner), params, self.inner.steps, backend)

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return theta_K on `batch`."""
        return self.inner_loop(B, loss, params, batch).end()[0]

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return delta as the module's formula has it; only gradients and Hessian-vector products are used."""
        loop = self.inner_loop(B, loss, params, task.support)
        judge = _Judge(B, loop, loss, task, self.query_weights, self.minibatches)
        steps = self.inner.steps if self.backprop_steps is None else self.backprop_steps
        start = loop.run(self.inner.steps - steps)
        (v, query_loss), end = checkpointed_vjp(B, judge.step, start, steps, judge.endpoint, self.checkpoint)
        theta, state, aux = end
        return result(B, with_learned(*loop.meta_update(v)), theta, query_loss, aux, state)

    def inner_loop(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> InnerLoop:
        """Return the inner loop from `params` on `batch`."""
        return inner_loop(
            B,
            self.inner,
            loss,
            params,
            batch,
            algorithm="MAML",
            adapt=self.adapt,
            minibatches=self.minibatches,
            start=self.start,
        )


@dataclass(frozen=True)
class _Judge:
    """The objective along the path: the query loss at theta_K, or a weighted sum of those at theta_1 ... theta_K."""

    B: Backend
    loop: InnerLoop
    loss: Loss
    task: Task
    weights: Sequence[float] | None
    minibatches: Minibatches | None

    def endpoint(self, x: Tree) -> tuple[tuple[Tree, Array], tuple[Tree, Tree, Any]]:
        """Return the cotangent of x_K and the objective so far; theta_K, s_K and the loss's aux."""
        theta = self.loop.adapted(x)
        value, aux, gradient = query_gradient(self.B, self.loss, theta, self._task(x))
        if self.weights is not None:
            value, gradient = self.weights[-1] * value, scale(self.B, self.weights[-1], gradient)
        return (self.loop.cotangent(x, gradient), value), (theta, x[1], aux)

    @property
    def step(self) -> Step:
        """The inner loop's step, whose cotangent carries the objective and, with weights, adds to it."""
        if self.weights is None:
            pull_back, linearize = self.loop.pull_back, self.loop.linearize
            return Step(self.loop.advance, linearize, lambda v, kept: (pull_back(v[0], kept), v[1]))
        return Step(self.loop.advance, self._linearize, self._pull_back)

    def _linearize(self, x: Tree) -> tuple[Tree, Any]:
        following, kept = self.loop.linearize(x)
        return following, (kept, x)

    def _pull_back(self, v: Tree, kept: Any) -> Tree:
        linearized, x = kept
        cotangent, value = self.loop.pull_back(v[0], linearized), v[1]
        weight = self._weight(x[2], value)
        if isinstance(weight, float) and weight == 0.0:
            return cotangent, value
        (at, _, gradient) = query_gradient(self.B, self.loss, self.loop.adapted(x), self._task(x))
        here = self.loop.cotangent(x, scale(self.B, weight, gradient))
        return add(self.B, cotangent, here), value + weight * at

    def _task(self, x: Tree) -> Task:
        """The task, its query set with the number of the step that led to x where the loss asks for it."""
        given = self.minibatches
        return self.task if given is None else self.task._replace(query=given.numbered(self.task.query, x[2] - 1))

    def _weight(self, k: Any, value: Array) -> Any:
        """w_k, zero at k = 0; a scalar array in the value's dtype where k is one."""
        assert self.weights is not None
        table = (0.0, *self.weights[:-1])
        if isinstance(k, int):
            return table[k]
        B = self.B
        return row(B, B.xp.stack([B.asarray(w, dtype=B.dtype_name(value)) for w in table], axis=0), k)


def _checked_weights(weights: Any, steps: int) -> tuple[float, ...]:
    given = tuple(weights) if isinstance(weights, Sequence) else None
    if given is None or len(given) != steps:
        raise InvalidArgumentError(f"MAML: query_weights must be {steps} numbers, one for each step; got {weights!r}")
    return tuple(checked_number(w, "MAML: query_weights", "finite numbers", lambda w: True) for w in given)
