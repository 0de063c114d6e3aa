"""A pull towards where the inner loop started: the proximal term of iMAML and of shrinkage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import checked_number
from metaspec.inner.base import Hyper, InnerRule, check_inner, checked_input, coefficients
from metaspec.task import Tree
from metaspec.trees import tree_map


@dataclass(frozen=True)
class Sigma:
    """The strength 1 / sigma^2 of a proximal term, by its width sigma (Chen et al. 2020).

    Attributes:
        value: sigma > 0: a number, a tree, or `Learned`.

    Example:
        >>> import metaspec as ms
        >>> rule = ms.Proximal(ms.GradientDescent(0.1, steps=5), ms.Sigma(ms.Learned(1.0, per="leaf")))
    """

    value: Any


@dataclass(frozen=True)
class Proximal:
    """`rule` on the proximal objective l(theta) + sum_i lambda_i (theta_i - phi_i)^2 / 2, phi = theta_0.

    The rule inside sees g + lambda (theta - theta_0).

    Attributes:
        rule: The rule inside.
        regularization: lambda > 0: a number, a tree that broadcasts against `params`, `Learned`, or `Sigma`.

    Raises:
        InvalidArgumentError: A number that is not finite or not > 0.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.Proximal(ms.GradientDescent(0.1, steps=5), 2.0))
    """

    rule: InnerRule
    regularization: Any
    reads_start = True

    def __post_init__(self) -> None:
        check_inner(self.rule, "Proximal")
        object.__setattr__(self, "regularization", checked_strength(self.regularization, "Proximal"))

    @property
    def steps(self) -> int:
        return self.rule.steps

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {**self.rule.inputs, **strength_input(self.regularization)}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the state of the rule inside."""
        return self.rule.init(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return what the rule inside makes of the proximal objective's gradient."""
        pulled = proximal_gradient(B, gradient, strength(B, hyper, theta), theta, hyper["start"])
        return self.rule.update(B, theta, state, pulled, k, hyper)


def proximal_gradient(B: Backend, gradient: Tree, strengths: Tree, theta: Tree, start: Tree) -> Tree:
    """Return g + lambda (theta - theta_0)."""
    return tree_map(B, lambda g, c, x, x0: g + c * (x - x0), gradient, strengths, theta, start)


def checked_strength(value: Any, what: str) -> Any:
    """Return the strength of a proximal term, a number of it checked: finite and > 0."""
    expected = "a finite number > 0 (MAML has no proximal term)"
    if value is None or isinstance(value, str | complex):
        checked_number(value, f"{what}: regularization", expected, lambda x: x > 0)
    if isinstance(value, Sigma):
        return Sigma(checked_input(value.value, f"{what}: sigma", expected, lambda x: x > 0))
    return checked_input(value, f"{what}: regularization", expected, lambda x: x > 0)


def strength_input(regularization: Any) -> dict[str, Any]:
    """Return a strength as the rule's input: "sigma" or "regularization"."""
    if isinstance(regularization, Sigma):
        return {"sigma": regularization.value}
    return {"regularization": regularization}


def strength(B: Backend, hyper: Hyper, tree: Tree) -> Tree:
    """Return lambda as one coefficient for each leaf of `tree`."""
    if "sigma" in hyper:
        return tree_map(B, lambda sigma: 1 / (sigma * sigma), coefficients(B, hyper["sigma"], tree))
    return coefficients(B, hyper["regularization"], tree)
