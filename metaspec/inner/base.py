"""What an inner optimiser is: an update rule for a task's parameters, and the rule's vector-Jacobian product."""

from collections.abc import Callable
from typing import Any, Protocol

from metaspec.backend.loops import repeat
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_members
from metaspec.task import Tree


class InnerOptimizer(Protocol):
    """A rule theta_{k+1} = u(theta_k, grad l(theta_k)), applied `steps` times.

    A subclass, as a frozen dataclass, supplies `steps`, `update` and `pull_back`; `check` may do nothing.
    """

    @property
    def steps(self) -> int:
        """Number of inner steps K."""

    def check(self, B: Backend, params: Tree) -> None:
        """Raise where the rule's own arguments do not fit `params`."""

    def update(self, B: Backend, theta: Tree, gradient: Tree) -> Tree:
        """Return u(theta, gradient)."""

    def pull_back(self, B: Backend, v: Tree, hvp: Callable[[Tree], Tree]) -> Tree:
        """Return v (du/dtheta + du/dgradient . H); `hvp` multiplies by H, the Hessian where the step started."""


def check_inner(inner: Any, algorithm: str) -> None:
    """Raise InvalidTypeError unless `inner` has the members of an InnerOptimizer."""
    check_members(inner, f"{algorithm}: inner", ("steps", "update", "pull_back"), "GradientDescent(lr=0.1, steps=5)")


def descend(B: Backend, inner: InnerOptimizer, gradient: Callable[[Tree], Tree], params: Tree) -> Tree:
    """Return theta_K, reached from theta_0 = params by `inner.steps` steps along `gradient`; no path is kept."""
    return repeat(B, lambda theta: inner.update(B, theta, gradient(theta)), params, inner.steps)
