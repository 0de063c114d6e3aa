"""Rules around rules: what happens to the gradient before another rule takes its step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import NOT_NEGATIVE
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import Hyper, InnerRule, check_inner, checked_input, coefficients
from metaspec.task import Tree
from metaspec.trees import norm, tree_map

Change = Callable[[Backend, Tree, Tree, Any], Tree]
"""(B, theta, gradient, value) -> the gradient that the rule inside sees."""


@dataclass(frozen=True)
class Transformed:
    """`rule` on a changed gradient: u(theta, s, change(theta, gradient, value)).

    Attributes:
        rule: The rule inside.
        name: What `value` is called among the inputs, "max_norm", say.
        value: A number, in each of the forms that a rule's inputs have.
        change: (B, theta, gradient, value) -> gradient.
    """

    rule: InnerRule
    name: str
    value: Any
    change: Change

    def __post_init__(self) -> None:
        check_inner(self.rule, self.name)
        value = checked_input(self.value, f"{self.name}: value", *NOT_NEGATIVE)
        object.__setattr__(self, "value", value)
        if self.name in self.rule.inputs:
            raise InvalidArgumentError(f"{self.name}: the rule has such an input already; apply it once")

    @property
    def steps(self) -> int:
        return self.rule.steps

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {**self.rule.inputs, self.name: self.value}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the state of the rule inside."""
        return self.rule.init(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return what the rule inside makes of the changed gradient."""
        return self.rule.update(B, theta, state, self.change(B, theta, gradient, hyper[self.name]), k, hyper)


def clip_by_norm(rule: InnerRule, max_norm: Any) -> Transformed:
    """Return the rule on gradients scaled to a norm of at most `max_norm`, over all leaves: g min(1, max_norm / ||g||).

    Source: Pascanu, Mikolov, Bengio 2013; `torch.nn.utils.clip_grad_norm_`, without its 1e-6.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.clip_by_norm(ms.GradientDescent(0.1, steps=5), 1.0))
    """
    return Transformed(rule, "max_norm", max_norm, _clipped_by_norm)


def clip_by_value(rule: InnerRule, max_value: Any) -> Transformed:
    """Return the rule on gradients whose entries are clipped to [-max_value, max_value].

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.clip_by_value(ms.GradientDescent(0.1, steps=5), 10.0))
    """
    return Transformed(rule, "max_value", max_value, _clipped_by_value)


def decay_weights(rule: InnerRule, weight_decay: Any) -> Transformed:
    """Return the rule on g + weight_decay theta, as `weight_decay` of `torch.optim.SGD` has it.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.decay_weights(ms.GradientDescent(0.1, steps=5), ms.Learned(1e-4)))
    """
    return Transformed(rule, "weight_decay", weight_decay, _decayed)


def _clipped_by_norm(B: Backend, theta: Tree, gradient: Tree, max_norm: Any) -> Tree:
    size = norm(B, gradient)
    limit = max_norm if B.is_array(max_norm) else B.asarray(float(max_norm), dtype=B.dtype_name(size))
    over = size > limit
    factor = B.xp.where(over, limit / B.xp.where(over, size, B.xp.ones_like(size)), B.xp.ones_like(size))
    return tree_map(B, lambda g, c: c * g, gradient, coefficients(B, factor, gradient))


def _clipped_by_value(B: Backend, theta: Tree, gradient: Tree, max_value: Any) -> Tree:
    xp = B.xp
    limits = coefficients(B, max_value, gradient)

    def clipped(g: Any, limit: Any) -> Any:
        limit = limit + xp.zeros_like(g)
        return xp.where(xp.abs(g) > limit, xp.where(g > 0, limit, -limit), g)

    return tree_map(B, clipped, gradient, limits)


def _decayed(B: Backend, theta: Tree, gradient: Tree, weight_decay: Any) -> Tree:
    return tree_map(B, lambda x, g, c: g + c * x, theta, gradient, coefficients(B, weight_decay, theta))
