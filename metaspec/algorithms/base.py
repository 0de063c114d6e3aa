"""What an algorithm is: an adaptation to a task, and the meta-update that follows from the adapted parameters."""

from dataclasses import replace
from typing import Any, Protocol

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.base import InnerRule, with_steps
from metaspec.task import Array, Diagnostics, Loss, MetaGradient, Task, Tree
from metaspec.trees import all_finite


class Algorithm(Protocol):
    """A meta-learning algorithm: a frozen dataclass with an inner rule and these functions.

    They are pure and know no backend but `B`. `params`, `task` and the loss are checked before they are called. One
    whose inner rule can go on from a given state also has `inner_loop(B, loss, params, batch) -> InnerLoop`, and its
    `meta_gradient` returns the rule's state.
    """

    @property
    def inner(self) -> InnerRule:
        """The inner rule."""

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """The task parameters that the inner loop reaches from `params` on `batch`."""

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the part of a training task that the inner loop sees."""

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return the task's meta-update, the adapted parameters, the query loss and diagnostics."""


def check_algorithm(algo: Any) -> None:
    """Raise InvalidTypeError unless `algo` has the members of an Algorithm."""
    if isinstance(algo, type) or not all(hasattr(algo, name) for name in ("adapt_to", "inner_batch", "meta_gradient")):
        raise InvalidTypeError(
            f"algo: expected an algorithm such as MAML(GradientDescent(lr=0.1, steps=5)), got {algo!r}"
        )


def adapting_for(algo: Any, steps: int) -> Any:
    """Return the algorithm with another number of inner steps, to adapt with."""
    weights = {"query_weights": None} if hasattr(algo, "query_weights") else {}
    return replace(algo, inner=with_steps(algo.inner, steps), **weights)


def query_gradient(B: Backend, loss: Loss, theta: Tree, task: Task) -> tuple[Array, Any, Tree]:
    """Return l_query(theta), the loss's aux, and grad l_query(theta).

    Raises:
        InvalidArgumentError: The query set is empty, so there is no such gradient.
    """
    if is_empty(B, task.query):
        raise InvalidArgumentError("task.query is empty: only Reptile is defined without a query set")
    (value, aux), gradient = B.value_and_grad(loss, has_aux=True)(theta, task.query)
    return value, aux, gradient


def is_empty(B: Backend, batch: Tree) -> bool:
    """Return whether the batch has no leaf (None, an empty tree) or only leaves of zero examples."""
    return all(0 in getattr(leaf, "shape", ()) for leaf in B.tree_flatten(batch)[0])


def result(
    B: Backend, delta: Tree, adapted: Tree, query_loss: Array, aux: Any, state: Tree = None, **diagnostics: Array
) -> MetaGradient:
    """Return a MetaGradient of these parts, `state` being the rule's s_K; `finite` is computed from them."""
    finite = all_finite(B, delta, adapted, query_loss)
    return MetaGradient(delta, query_loss, adapted, Diagnostics(finite, query_loss, **diagnostics), aux, state)
