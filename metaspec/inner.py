"""Inner optimisers: how a task's parameters walk, and how a cotangent is pulled back through one step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from operator import index
from typing import Any, Protocol

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.protocol import Backend
from metaspec.task import Tree
from metaspec.trees import subtract, tree_map


class InnerOptimizer(Protocol):
    """A rule theta_{k+1} = u(theta_k, gradient(theta_k)), applied `steps` times."""

    @property
    def steps(self) -> int:
        """Number of inner steps K."""

    def check(self, B: Backend, params: Tree) -> None:
        """Raise where the rule's own inputs do not fit `params`."""

    def update(self, B: Backend, theta: Tree, gradient: Tree) -> Tree:
        """u(theta, gradient)."""

    def pull_back(self, B: Backend, v: Tree, hvp: Callable[[Tree], Tree]) -> Tree:
        """v (du/dtheta + du/dgradient . H), `hvp` giving the products with H at the step's starting point."""


@dataclass(frozen=True)
class GradientDescent:
    """theta_{k+1} = theta_k - lr * gradient(theta_k), for `steps` steps.

    Attributes:
        lr: The rate: a number >= 0, or a tree like `params` whose leaves are rates that broadcast against its leaves.
        steps: K >= 0.

    Raises:
        InvalidArgumentError: A rate is negative, infinite or NaN; `steps` is negative.
        InvalidTypeError: `steps` is not an integer.

    Example:
        >>> GradientDescent(lr=0.1, steps=5)
        GradientDescent(lr=0.1, steps=5)
    """

    lr: Any
    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checked_steps(self.steps, "GradientDescent: steps", least=0))
        if isinstance(self.lr, Real):
            object.__setattr__(self, "lr", _checked_rate(float(self.lr), "lr"))
        elif self.lr is None or isinstance(self.lr, str | complex):
            raise InvalidTypeError(f"GradientDescent: lr must be a number or a tree of rates, got {self.lr!r}")

    def check(self, B: Backend, params: Tree) -> None:
        """Raise where `lr` is a tree that does not fit `params`, or holds a rate that is negative or not finite."""
        if isinstance(self.lr, float):
            return
        rates, structure = B.tree_flatten(self.lr)
        if not self._is_scalar(B) and structure != B.tree_flatten(params)[1]:
            raise InvalidArgumentError(
                f"GradientDescent: a tree of rates must have the structure of params, {B.tree_flatten(params)[1]}; "
                f"lr has {structure}"
            )
        for path, rate in zip(B.tree_paths(self.lr), rates, strict=True):
            if not B.is_array(rate):
                _checked_rate(rate, f"lr{path}")
            elif B.is_concrete(rate):
                values = B.to_numpy(rate)
                _checked_rate(float(values.min()), f"lr{path}")
                _checked_rate(float(values.max()), f"lr{path}")

    def update(self, B: Backend, theta: Tree, gradient: Tree) -> Tree:
        """theta - lr * gradient."""
        return subtract(B, theta, self._scaled(B, gradient))

    def pull_back(self, B: Backend, v: Tree, hvp: Callable[[Tree], Tree]) -> Tree:
        """(I - lr H)^T v = v - H (lr * v), H being symmetric."""
        return subtract(B, v, hvp(self._scaled(B, v)))

    def _is_scalar(self, B: Backend) -> bool:
        return isinstance(self.lr, float) or (B.is_array(self.lr) and self.lr.ndim == 0)

    def _scaled(self, B: Backend, x: Tree) -> Tree:
        def times(rate: Any, leaf: Any) -> Any:
            return (B.xp.astype(rate, leaf.dtype, copy=False) if B.is_array(rate) else rate) * leaf

        if self._is_scalar(B):
            return tree_map(B, lambda leaf: times(self.lr, leaf), x)
        return tree_map(B, times, self.lr, x)


def descend(B: Backend, inner: InnerOptimizer, gradient: Callable[[Tree], Tree], params: Tree) -> Tree:
    """theta_K: `inner.steps` steps from theta_0 = params along `gradient`. Stores no path."""
    theta, _ = B.scan(
        lambda theta, _: (inner.update(B, theta, gradient(theta)), None), params, None, length=inner.steps
    )
    return theta


def checked_steps(steps: Any, argument: str, least: int) -> int:
    """`steps` as an int, or the error that names it."""
    try:
        if isinstance(steps, bool):
            raise TypeError
        number = index(steps)
    except TypeError:
        raise InvalidTypeError(f"{argument} must be an integer >= {least}, got {steps!r}") from None
    if number < least:
        raise InvalidArgumentError(f"{argument} must be >= {least}, got {number}")
    return number


def _checked_rate(rate: Any, argument: str) -> float:
    if not isinstance(rate, Real) or not math.isfinite(rate) or rate < 0:
        raise InvalidArgumentError(f"GradientDescent: {argument} must be a finite number >= 0, got {rate!r}")
    return float(rate)
