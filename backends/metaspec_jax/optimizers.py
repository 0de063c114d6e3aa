"""Optax's transformations as outer optimisers."""

from dataclasses import dataclass
from typing import Any, ClassVar

import optax

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class OptaxOptimizer:
    """params <- params + update, as the transformation has it; its schedules count in its own state.

    Attributes:
        transformation: Such as `optax.adam(1e-3)`.
    """

    transformation: Any
    traceable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.transformation, optax.GradientTransformation):
            raise InvalidTypeError(
                "optimizer: expected an optax.GradientTransformation such as optax.adam(1e-3), "
                f"got {self.transformation!r}"
            )

    def rate(self, step: int) -> float:
        """Not used: the transformation has its own."""
        return 0.0

    def init(self, B: Backend, params: Tree) -> Tree:
        """The transformation's state."""
        return self.transformation.init(params)

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """One step."""
        updates, state = self.transformation.update(delta, state, params)
        return optax.apply_updates(params, updates), state
