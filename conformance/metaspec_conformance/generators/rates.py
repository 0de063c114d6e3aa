"""Inner rates and proximal strengths that bound curvature by construction: lr * (L + lambda) <= 1 along the whole path.

L is the largest absolute eigenvalue of the inner loss's Hessian, written out, at every iterate theta_0 .. theta_K.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.backend.selection import backend_context, get_backend
from metaspec.task import Tree
from metaspec_conformance.judging.numpy_trees import leaves, tree_map
from metaspec_conformance.scenarios.datasets import rate
from metaspec_conformance.scenarios.portable_losses import Loss

MARGIN = 1.0625  # lr L of exactly 1 would let a quadratic's slowest direction vanish, and all of its digits
FLATTEST = 0.25  # the rate on a loss with less curvature is as if it had this much
ROUNDS = 30


@dataclass(frozen=True)
class Explorer:
    """What is asked of a loss on the way.

    Attributes:
        gradient: (theta, batch) -> gradient.
        hessians: (points, batch) -> [points, unknowns, unknowns]; the leaves of `points` have the points on axis 0.
    """

    gradient: Callable[[Tree, Tree], Tree]
    hessians: Callable[[Tree, Tree], Any]


def power_of_four(x: float) -> float:
    """The least power of four that is not below x > 0: few values, for frameworks that compile one into a program."""
    return float(4.0 ** np.ceil(np.log2(x) / 2))


def explorer(loss: Loss, compiled: bool = False) -> Explorer:
    """By the NumPy adapter; compiled pays where many data sets of the same shapes follow."""
    B = get_backend("numpy")

    def hessians(points: Tree, batch: Tree) -> Any:
        linearize = B.linearize_grad(loss)
        return B.vmap(lambda theta: _matrix(B, linearize(theta, batch)[1], theta))(points)

    found = Explorer(B.grad(loss), hessians)
    return Explorer(B.compile(found.gradient), B.compile(found.hessians)) if compiled else found


@dataclass(frozen=True)
class Bounded:
    """A rate, a proximal strength, and the curvature along the path that they lead along."""

    lr: float
    strength: float
    curvature: float


def bounded(
    explorer: Explorer,
    params: Tree,
    batches: Sequence[Tree],
    steps: int,
    fraction: float,
    proximal: float,
    shares: Tree = None,
) -> Bounded:
    """The rate fraction / (MARGIN (L + lambda)), few bits of it, with lambda >= proximal * L.

    L depends on the path, and the path on the rate: both start with the curvature at `params`, and the rate shrinks
    until the path keeps within it. Where a path ran off, the curvature is taken to be twice as large.

    Args:
        explorer: The loss's.
        params: The start of every path.
        batches: The inner batches, one per task.
        steps: K.
        fraction: In (0, 1].
        proximal: The least lambda / L of iMAML, else 0.
        shares: Per leaf, what of the rate it has, at most 1; None: all.
    """
    shares = tree_map(lambda leaf: 1.0, params) if shares is None else shares

    def along(lr: float, steps: int, strength: float) -> float:
        rates = tree_map(lambda share: lr * share, shares)
        return max(curvature_along(explorer, params, batch, rates, steps, strength) for batch in batches)

    L = max(FLATTEST, along(0.0, 0, 0.0))
    for _ in range(ROUNDS):
        strength = power_of_four(proximal * L) if proximal else 0.0
        lr = fraction * rate(MARGIN * (L + strength))
        found = along(lr, steps, strength)
        if found <= L:
            break
        L = found if np.isfinite(found) and found < 2 * L else 2 * L
    return Bounded(lr, strength, found)


def curvature_along(explorer: Explorer, params: Tree, batch: Tree, rates: Tree, steps: int, strength: float) -> float:
    """max_k ||H(theta_k)|| for k = 0 .. steps, theta_k by gradient descent on loss + strength / 2 ||theta - params||^2.

    Infinite where the path leaves the finite numbers. `rates` is a tree like `params`.
    """

    def stepped(theta: Any, rate: Any, gradient: Any, origin: Any) -> Any:
        return theta - rate * (gradient + strength * (theta - origin))

    path = [params]
    with backend_context("numpy"), np.errstate(all="ignore"):
        for _ in range(steps):
            gradient = explorer.gradient(path[-1], batch)
            path.append(tree_map(stepped, path[-1], rates, gradient, params))
        hessians = explorer.hessians(tree_map(lambda *points: np.stack(points), *path), batch)
    return float(np.max(np.abs(np.linalg.eigvalsh(hessians)))) if np.all(np.isfinite(hessians)) else float("inf")


def _matrix(B: Any, hvp: Any, like: Tree) -> Any:
    xp = B.xp
    sizes = [math.prod(leaf.shape) for leaf in leaves(like)]
    columns = iter(np.split(np.eye(sum(sizes)), np.cumsum(sizes)[:-1], axis=1))
    unit = tree_map(lambda leaf: np.reshape(next(columns), (sum(sizes), *leaf.shape)), like)
    return xp.concat(
        [xp.reshape(leaf, (sum(sizes), -1)) for leaf in leaves(B.vmap(hvp)(unit)) if 0 not in leaf.shape], axis=1
    )
