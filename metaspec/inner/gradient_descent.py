"""Gradient descent: theta_{k+1} = theta_k - lr * grad l(theta_k)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import NOT_NEGATIVE
from metaspec.inner.base import Hyper, coefficients, settle_rule
from metaspec.task import Tree
from metaspec.trees import add_scaled, subtract, tree_map


@dataclass(frozen=True)
class GradientDescent:
    """theta_{k+1} = theta_k - lr * grad l(theta_k), for `steps` steps.

    Attributes:
        lr: The rate: a number >= 0; a tree like `params` whose leaves are rates that broadcast against its leaves; a
            function of the step k = 0, 1, ...; or `Learned`.
        steps: K >= 0.

    Raises:
        InvalidArgumentError: A rate is negative, infinite or NaN; `steps` is negative.
        InvalidTypeError: `steps` is not an integer.

    Example:
        >>> import metaspec as ms
        >>> ms.GradientDescent(lr=0.1, steps=5)
        GradientDescent(lr=0.1, steps=5)
        >>> halving = ms.GradientDescent(lambda k: 0.1 / 2**k, steps=5)
    """

    lr: Any
    steps: int

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {"lr": self.lr}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return None: gradient descent has no state."""
        return None

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta - lr * gradient."""
        return _descended(B, theta, hyper["lr"], gradient), None

    def pull_back(self, B: Backend, v: Tree, hvp: Callable[[Tree], Tree], hyper: Hyper) -> Tree:
        """Return v - H (lr * v), in place of the derivative of `update`: of one rate for all v - lr * H v.

        A product's last pass over memory can scale and subtract, where compilers fuse them.
        """
        lr = hyper["lr"]
        if isinstance(lr, float) or (B.is_array(lr) and lr.ndim == 0):
            return _descended(B, v, lr, hvp(v))
        return subtract(B, v, hvp(_scaled(B, lr, v)))


def _descended(B: Backend, x: Tree, lr: Any, direction: Tree) -> Tree:
    if isinstance(lr, float):
        return add_scaled(B, x, -lr, direction)
    return subtract(B, x, _scaled(B, lr, direction))


def _scaled(B: Backend, lr: Any, x: Tree) -> Tree:
    return tree_map(B, lambda leaf, rate: rate * leaf, x, coefficients(B, lr, x))
