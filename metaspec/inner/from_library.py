"""Optimisers of other libraries as inner rules: optax's on JAX, torchopt's functional ones on PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_members, settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.base import Hyper
from metaspec.task import Tree
from metaspec.trees import add, norm


@dataclass(frozen=True)
class FromTransformation:
    """theta_{k+1} = theta_k + updates, (updates, s_{k+1}) = transformation.update(g_k, s_k, theta_k).

    Attributes:
        transformation: An object with `init(params) -> state` and
            `update(gradient, state, params) -> (updates, state)`: `optax.adam(1e-2)` on JAX, `torchopt.adam(1e-2)` on
            PyTorch. It must be pure, and differentiable in the
            gradient; a root at zero has its library's derivative.
        steps: K >= 0.

    Raises:
        InvalidTypeError: `transformation` has no such methods; an instance of `torch.optim` works in place, and cannot
            be differentiated through.
        InvalidArgumentError: At a call outside of `compile`, an update that is a constant to the framework's
            derivatives.

    Example:
        >>> import metaspec as ms, optax
        >>> algo = ms.MAML(ms.FromTransformation(optax.adam(1e-2), steps=5))
    """

    transformation: Any
    steps: int

    def __post_init__(self) -> None:
        settle(self, steps=0)
        if callable(getattr(self.transformation, "step", None)):
            raise InvalidTypeError(
                f"FromTransformation: transformation: {type(self.transformation).__name__} steps in place, and cannot "
                "be differentiated through; take a functional optimiser of torchopt's, or a rule of metaspec's"
            )
        check_members(self.transformation, "FromTransformation: transformation", ("init", "update"), "optax.adam(1e-2)")

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the transformation's state."""
        return self.transformation.init(theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta + updates and the transformation's next state."""
        update = self.transformation.update
        options = {"inplace": False} if "inplace" in signature(update).parameters else {}
        updates, state = update(gradient, state, params=theta, **options)
        return add(B, theta, updates), state

    def check_derivative(self, B: Backend, gradient: Tree, slope: Tree) -> None:
        """Raise where the update's derivative in the gradient is zero to the last bit, and the gradient is not.

        Raises:
            InvalidArgumentError: So it is; values under a trace are not looked at.
        """
        moved, derived = (norm(B, tree) for tree in (gradient, slope))
        if not (B.is_concrete(moved) and B.is_concrete(derived)):
            return
        if float(B.to_numpy(moved)) > 0 and float(B.to_numpy(derived)) == 0:
            raise InvalidArgumentError(
                f"FromTransformation: the update of {self.transformation!r:.80} has no derivative in the gradient: it "
                "is detached (no_grad, .data, stop_gradient) or a sign. MAML through it would be of first order; "
                "use FOMAML, or an optimiser that can be differentiated"
            )
