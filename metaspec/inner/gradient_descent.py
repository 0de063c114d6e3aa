"""Gradient descent as an inner optimiser: theta_{k+1} = theta_k - lr * grad l(theta_k)."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from metaspec.backend.protocol import Backend, is_floating
from metaspec.checks.arguments import checked_integer, checked_number
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Tree
from metaspec.trees import subtract, tree_map


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
        >>> import metaspec as ms
        >>> ms.GradientDescent(lr=0.1, steps=5)
        GradientDescent(lr=0.1, steps=5)
    """

    lr: Any
    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checked_integer(self.steps, "GradientDescent: steps", least=0))
        if isinstance(self.lr, Real):
            object.__setattr__(self, "lr", _checked_rate(self.lr, "lr"))
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
        leaves = [None] if self._is_scalar(B) else B.tree_flatten(params)[0]
        paths = [path.removeprefix("root") for path in B.tree_paths(self.lr)]
        for path, rate, leaf in zip(paths, rates, leaves, strict=True):
            if not B.is_array(rate):
                _checked_rate(rate, f"lr{path}")
                continue
            if not is_floating(B.dtype_name(rate)):
                raise InvalidTypeError(f"GradientDescent: lr{path} must be floating, got dtype {B.dtype_name(rate)}")
            if leaf is not None and not _fits(tuple(rate.shape), tuple(leaf.shape)):
                raise InvalidArgumentError(
                    f"GradientDescent: lr{path} has shape {tuple(rate.shape)}, which does not broadcast to the shape "
                    f"{tuple(leaf.shape)} of its leaf of params"
                )
            if B.is_concrete(rate) and 0 not in rate.shape:
                values = B.to_numpy(rate)
                _checked_rate(float(values.min()), f"lr{path}")
                _checked_rate(float(values.max()), f"lr{path}")

    def update(self, B: Backend, theta: Tree, gradient: Tree) -> Tree:
        """theta - lr * gradient."""
        return subtract(B, theta, self._scaled(B, gradient))

    def pull_back(self, B: Backend, v: Tree, hvp: Callable[[Tree], Tree]) -> Tree:
        """(I - lr H)^T v = v - H (lr * v), H being symmetric; of one rate for all v - lr * H v."""
        if self._is_scalar(B):  # a product's last pass over memory can scale and subtract, where compilers fuse them
            return subtract(B, v, self._scaled(B, hvp(v)))
        return subtract(B, v, hvp(self._scaled(B, v)))

    def _is_scalar(self, B: Backend) -> bool:
        return isinstance(self.lr, float) or (B.is_array(self.lr) and self.lr.ndim == 0)

    def _scaled(self, B: Backend, x: Tree) -> Tree:
        def times(rate: Any, leaf: Any) -> Any:
            return (B.xp.astype(rate, leaf.dtype, copy=False) if B.is_array(rate) else float(rate)) * leaf

        if self._is_scalar(B):
            return tree_map(B, lambda leaf: times(self.lr, leaf), x)
        return tree_map(B, times, self.lr, x)


def _checked_rate(rate: Any, argument: str) -> float:
    return checked_number(rate, f"GradientDescent: {argument}", "a finite number >= 0", lambda rate: rate >= 0)


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Whether an array of `shape` broadcasts to the shape `into`, and to no larger one."""
    return len(shape) <= len(into) and all(n in (1, m) for n, m in zip(shape[::-1], into[::-1], strict=False))
