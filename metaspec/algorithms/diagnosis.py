"""The diagnosis of a result that is not finite: at which inner step, and in which leaf, NaN or infinity first arose."""

from bisect import bisect_left
from dataclasses import is_dataclass, replace
from typing import Any

from metaspec.algorithms.base import Algorithm
from metaspec.backend.protocol import Backend
from metaspec.errors import NonFiniteError
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import all_finite


def check_finite(
    B: Backend, algo: Algorithm, loss: Loss, params: Tree, task: Task, r: MetaGradient, origin: str = ""
) -> None:
    """Raise where `r` holds NaN or infinity: at which inner step and in which leaf it first arose."""
    flag = r.diagnostics.finite
    if not B.is_concrete(flag) or bool(B.to_numpy(flag).all()):
        return
    if flag.ndim:
        i = int(B.to_numpy(flag).argmin())
        origin, rows = f"task {i}: ", B.tree_flatten(task)
        task = B.tree_unflatten(rows[1], [leaf[i, ...] for leaf in rows[0]])
    raise NonFiniteError(origin + (_inner_origin(B, algo, loss, params, algo.inner_batch(B, task)) or OUTER_ORIGIN))


def check_adapted(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, theta: Tree) -> None:
    """Raise where the adapted parameters hold NaN or infinity, as `check_finite` does."""
    finite = all_finite(B, theta)
    if B.is_concrete(finite) and not bool(B.to_numpy(finite)):
        raise NonFiniteError(_inner_origin(B, algo, loss, params, batch) or "adapted: NaN or infinity")


OUTER_ORIGIN = (
    "the inner loop stayed finite, the meta-gradient did not: NaN or infinity arose in the query loss's gradient, "
    "a Hessian-vector product or the linear solve (is its matrix singular?)"
)


def _inner_origin(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree) -> str:
    """The inner step and leaf where NaN or infinity first arose, if it did; what is not finite stays so: bisection."""
    if bad := _bad_leaf(B, params):
        return f"params{bad}: the meta-parameters themselves are not finite"
    steps = getattr(algo.inner, "steps", None)
    if steps is None or not is_dataclass(algo) or not is_dataclass(algo.inner):
        return ""

    def bad_after(k: int) -> str:
        shorter: Any = replace(algo, inner=replace(algo.inner, steps=k))
        return _bad_leaf(B, shorter.adapt_to(B, loss, params, batch))

    first = bisect_left(range(steps + 1), True, key=lambda k: bool(bad_after(k)))
    if first > steps:
        return ""
    return (
        f"the inner loop: NaN or infinity arose at inner step {first} of {steps}, in leaf {bad_after(first)}; lower "
        "the inner learning rate, or look at the loss and its gradient on the support set"
    )


def _bad_leaf(B: Backend, tree: Tree) -> str:
    for path, leaf in zip(B.tree_paths(tree), B.tree_flatten(tree)[0], strict=True):
        if not bool(B.to_numpy(B.xp.all(B.xp.isfinite(leaf)))):
            return path
    return ""
