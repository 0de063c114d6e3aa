"""What is compared: values, gradients, Hessian-vector products, every step of the inner loop, the meta-gradient."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

from metaspec.algorithms.base import Algorithm, is_empty
from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.losses.lifting import lift_loss
from metaspec.task import Task, Tree
from metaspec_conformance.compare.comparison_messages import SCALAR, PowerLaw, Until

UserLoss = Callable[[Tree, Tree], Any]

PARAMETERS = "parameters"
LOSS, GRADIENT, PRODUCT = "support loss", "gradient", "H v"
QUERY_LOSS, QUERY_GRADIENT, DELTA = "query loss", "query gradient", "meta-gradient"
ALL = 10  # inner steps up to which each is looked at


def step_name(k: int) -> str:
    """The stage of the parameters after k inner steps."""
    return f"step {k}"


def steps_shown(steps: int) -> list[int]:
    """After which inner steps parameters are compared: all of few, of many some that lie closer at the beginning."""
    if steps <= ALL:
        return list(range(1, steps + 1))
    shown = {round(1.6**i) for i in range(64) if 1.6**i < steps} | {steps}
    return sorted(shown)


def names(algorithm: Algorithm) -> tuple[str, ...]:
    """All stages in the order in which they are computed, each needing those before it."""
    path = [step_name(k) for k in steps_shown(algorithm.inner.steps)]
    return (PARAMETERS, LOSS, GRADIENT, PRODUCT, *path, QUERY_LOSS, QUERY_GRADIENT, DELTA)


def compute(
    B: Backend, loss: UserLoss, algorithm: Algorithm, params: Tree, task: Task, direction: Tree, until: Until
) -> dict[str, Tree]:
    """The stages: trees like `params`, or {SCALAR: a scalar array}; values that are not finite stay as they are."""
    with computing(B, params):
        lifted = lift_loss(B, loss, False)

        def value(theta: Tree, batch: Tree) -> Any:
            return lifted(theta, batch)[0]

        found: dict[str, Tree] = {PARAMETERS: params, LOSS: {SCALAR: value(params, task.support)}}
        if until == "loss":
            return found
        found[GRADIENT] = B.grad(value)(params, task.support)
        if until == "gradient":
            return found
        found[PRODUCT] = B.linearize_grad(value)(params, task.support)[1](direction)  # as the algorithms have it
        algo: Any = algorithm
        batch = algo.inner_batch(B, task)
        for k in steps_shown(algo.inner.steps):
            shorter = replace(algo, inner=replace(algo.inner, steps=k))
            found[step_name(k)] = shorter.adapt_to(B, lifted, params, batch)
        r = algo.meta_gradient(B, lifted, params, task)
        query = task.support if is_empty(B, task.query) else task.query
        found[QUERY_LOSS] = {SCALAR: r.query_loss}
        found[QUERY_GRADIENT] = B.grad(value)(r.adapted, query)
        return found | {DELTA: r.delta}


def changed(
    B: Backend,
    loss: UserLoss,
    names: Sequence[str],
    scale: PowerLaw,
    offset: PowerLaw,
    decay: float,
    frozen: Sequence[str],
    replaced: dict[str, Any],
) -> UserLoss:
    """The loss of a `Variant`; `names` are the common names of the leaves in the backend's order, `replaced` arrays."""
    if scale == PowerLaw(1.0) and offset == PowerLaw(0.0) and not decay and not frozen and not replaced:
        return loss

    def wrapped(theta: Tree, batch: Tree) -> Any:
        leaves, structure = B.tree_flatten(theta)
        held = [B.stop_gradient(leaf) if name in frozen else leaf for name, leaf in zip(names, leaves, strict=True)]
        held = [replaced.get(name, leaf) for name, leaf in zip(names, held, strict=True)]
        value = loss(B.tree_unflatten(structure, held), batch)
        n = examples(B, batch)
        if decay:
            value = value - 0.5 * decay * reduce(add, [B.xp.sum(leaf * leaf) for leaf in leaves])
        return (value - offset(n)) * scale(n)

    return wrapped


def examples(B: Backend, batch: Tree) -> int:
    """The length of axis 0 of the first leaf that has one; 1 where none has."""
    shapes = [tuple(leaf.shape) for leaf in B.tree_flatten(batch)[0] if getattr(leaf, "shape", ())]
    return int(shapes[0][0]) if shapes else 1
