"""The diagnosis of a result that is not finite: at which inner step, and in which leaf, NaN or infinity first arose."""

from bisect import bisect_left
from dataclasses import is_dataclass

from metaspec.algorithms.base import Algorithm, adapting_for, is_empty
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
    where = _inner_origin(B, algo, loss, params, algo.inner_batch(B, task))
    raise NonFiniteError(origin + (where or _outer_origin(B, algo, loss, params, task)))


def check_adapted(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, theta: Tree) -> None:
    """Raise where the adapted parameters hold NaN or infinity, as `check_finite` does."""
    finite = all_finite(B, theta)
    if B.is_concrete(finite) and not bool(B.to_numpy(finite)):
        raise NonFiniteError(_inner_origin(B, algo, loss, params, batch) or "adapted: NaN or infinity")


ROOT_AT_ZERO = (
    "the loss is finite there and its gradient is not: the usual cause is a root or a norm at zero, a power "
    "below 1 or a "
    "logarithm, where the slope is infinite. Add an epsilon inside, sqrt(x**2 + 1e-12); a `where` around it must "
    "choose the "
    "argument, not the result"
)


def _outer_origin(B: Backend, algo: Algorithm, loss: Loss, params: Tree, task: Task) -> str:
    """What is not finite after an inner loop that is."""
    batch = task.support if is_empty(B, task.query) else task.query
    theta = algo.adapt_to(B, loss, params, algo.inner_batch(B, task))
    (value, _), gradient = B.value_and_grad(loss, has_aux=True)(theta, batch)
    if not bool(B.to_numpy(all_finite(B, value))):
        at_end = f"the inner loop stayed finite, the query loss at its end is {float(B.to_numpy(value))}"
        start = loss(params, batch)[0] if theta is not params else value
        if bool(B.to_numpy(all_finite(B, start))):
            return (
                f"{at_end}, and {float(B.to_numpy(start)):.3g} at its start: it has left the range where the loss can "
                "be computed (exp of a large number overflows). Lower the inner learning rate"
            )
        return (
            f"{at_end}: look at the "
            "query set (no valid label, a mean over nothing) and at logarithms, roots and divisions of zero in the loss"
        )
    if leaf := _bad_leaf(B, gradient):
        return f"the query loss's gradient, in leaf {leaf}: {ROOT_AT_ZERO}"
    return (
        "inner loop, query loss and its gradient stayed finite, the meta-gradient did not: the product of I - lr H "
        "overflowed (lower the inner learning rate), or NaN or infinity arose in a Hessian-vector product "
        "(a root or a norm at zero, whose curvature is infinite?) or in the linear solve (is its matrix singular?)"
    )


def _inner_origin(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree) -> str:
    """Find, by bisection, the inner step and the leaf where NaN or infinity first arose; "" if it did not."""
    if bad := _bad_leaf(B, params):
        return f"params{bad}: the meta-parameters themselves are not finite"
    steps = getattr(algo.inner, "steps", None)
    if steps is None or not is_dataclass(algo) or not is_dataclass(algo.inner):
        return ""

    def bad_after(k: int) -> str:
        return _bad_leaf(B, adapting_for(algo, k).adapt_to(B, loss, params, batch))

    first = bisect_left(range(steps + 1), True, key=lambda k: bool(bad_after(k)))
    if first > steps:
        return ""
    where = f"the inner loop: NaN or infinity arose at inner step {first} of {steps}, in leaf {bad_after(first)}"
    if first:
        theta = adapting_for(algo, first - 1).adapt_to(B, loss, params, batch)
        (value, _), gradient = B.value_and_grad(loss, has_aux=True)(theta, batch)
        if bool(B.to_numpy(all_finite(B, value))) and _bad_leaf(B, gradient):
            return f"{where}: {ROOT_AT_ZERO}"
    return f"{where}; lower the inner learning rate, or look at the loss and its gradient on the support set"


def _bad_leaf(B: Backend, tree: Tree) -> str:
    for path, leaf in zip(B.tree_paths(tree), B.tree_flatten(tree)[0], strict=True):
        if not bool(B.to_numpy(B.xp.all(B.xp.isfinite(leaf)))):
            return path
    return ""
