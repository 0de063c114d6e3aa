"""Divergence that stays finite: a query loss that grows by orders of magnitude, an inner loop beyond its stable rate.

Gradient descent on a loss of curvature c is stable while lr * c < 2. On its path theta_k, with steps
d_k = theta_{k+1} - theta_k = -lr g_k, the differences of gradients show the curvature along it:

    lr * c  ~  |d_{k+1} - d_k| / |d_k|
"""

from collections import deque
from dataclasses import dataclass, field, is_dataclass
from itertools import pairwise
from math import inf, isfinite
from statistics import median
from typing import Any

from metaspec.algorithms.base import Algorithm, adapting_for
from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.losses.lifting import lift_loss
from metaspec.task import Loss, Task, Tree
from metaspec.trees import norm, subtract

WINDOW = 10  # outer steps whose median is compared
GROWTH = 100.0  # of the median, against that of the first steps
LEAP = 1e4  # of one step, against the largest before
STABLE = 2.0  # curvature times rate


@dataclass
class LossGrowth:
    """The query losses of a training as they come, and whether they have grown by orders of magnitude.

    Attributes:
        first: The magnitudes of the first steps.
        recent: Those of the last.
        largest: The largest so far.
    """

    first: list[float] = field(default_factory=list)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    largest: float = 0.0

    def observe(self, loss: float) -> float | None:
        """Return what a loss was at first, where this one or the last ones are far larger; else None."""
        size = abs(loss)
        leapt = len(self.first) >= 3 and size > LEAP * self.largest > 0
        self.largest = max(self.largest, size)
        if len(self.first) < WINDOW:
            self.first.append(size)
        self.recent.append(size)
        start = median(self.first)
        grown = len(self.recent) == WINDOW and median(self.recent) > GROWTH * start > 0
        return start if leapt or grown else None


@dataclass(frozen=True)
class InnerPath:
    """How the inner loop does on one task.

    Attributes:
        before: The loss on the inner batch at the start.
        after: The same after all steps.
        steps: Their number.
        stiffness: Curvature along the path times the rate.
    """

    before: float
    after: float
    steps: int
    stiffness: float

    @property
    def diverges(self) -> bool:
        """Whether the loss that it descends has grown, beyond the stable rate."""
        return self.stiffness > STABLE and not self.after <= self.before

    def __str__(self) -> str:
        path = (
            f"in {self.steps} inner steps the loss on the inner batch goes from {self.before:.3g} to {self.after:.3g}"
        )
        if not self.diverges:
            return (
                f"the inner loop is stable ({path}); lower the outer learning rate, set clip_norm, or start from "
                "other parameters"
            )
        return (
            f"the inner loop itself diverges: curvature x learning rate is about {self.stiffness:.3g} along its "
            f"path, and gradient descent is stable below 2 ({path}). Lower the inner learning rate until it is; "
            "where it was stable at the start, clip_norm or a lower outer rate keeps the curvature down"
        )


def inner_path(B: Backend, algo: Algorithm, loss: Any, params: Tree, task: Task) -> InnerPath | None:
    """Return how the inner loop does on a task, from three points of its path; None where the algorithm hides them."""
    inner: Any = algo.inner
    if not is_dataclass(algo) or not is_dataclass(inner) or not getattr(inner, "steps", 0):
        return None
    try:
        with computing(B, params):
            return _path(B, algo, lift_loss(B, loss, False), params, algo.inner_batch(B, task))
    except Exception:  # a rule with inputs for each step, say, takes no other number of steps
        return None


def _path(B: Backend, algo: Any, loss: Loss, params: Tree, batch: Tree) -> InnerPath:
    def after(k: int) -> Tree:
        return adapting_for(algo, k).adapt_to(B, loss, params, batch)

    steps, last = algo.inner.steps, max(2, algo.inner.steps)
    points = [after(k) for k in (last - 2, last - 1, last)]
    before, afterwards = (float(B.to_numpy(loss(theta, batch)[0])) for theta in (after(0), after(steps)))
    first, second = (subtract(B, b, a) for a, b in pairwise(points))
    length = float(B.to_numpy(norm(B, first)))
    stiffness = float(B.to_numpy(norm(B, subtract(B, second, first)))) / length if length else 0.0
    return InnerPath(before, afterwards, steps, stiffness if isfinite(stiffness) else inf)
