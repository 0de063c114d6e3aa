"""Keras's optimizers as outer optimisers.

On TensorFlow they have no stateless form: each step is taken on variables of our own, which are set before it and read
after it.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import tensorflow as tf

from metaspec.backend.protocol import Backend
from metaspec.errors import BackendMismatchError, InvalidTypeError
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class KerasOptimizer:
    """One step of a copy of the optimizer, whose variables are the state; its schedules count in its own state.

    Attributes:
        optimizer: An instance such as `keras.optimizers.Adam(1e-3)`; it is not altered.
    """

    optimizer: Any
    _built: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    traceable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, keras.optimizers.Optimizer):
            raise InvalidTypeError(
                f"optimizer: expected an instance such as keras.optimizers.Adam(1e-3), got {self.optimizer!r}"
            )
        if keras.backend.backend() != "tensorflow":
            raise BackendMismatchError(
                f"optimizer: Keras was imported with the backend {keras.backend.backend()!r}; set the environment "
                "variable KERAS_BACKEND=tensorflow before it is imported"
            )

    def rate(self, step: int) -> float:
        """Not used: the optimizer has its own."""
        return 0.0

    def init(self, B: Backend, params: Tree) -> Tree:
        """The values of the optimizer's variables."""
        return _values(self._on(B, params)[0].variables)

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """One step."""
        optimizer, variables = self._on(B, params)
        leaves, structure = B.tree_flatten(params)
        for variable, value in zip([*variables, *optimizer.variables], [*leaves, *state], strict=True):
            variable.assign(value)
        optimizer.apply(B.tree_flatten(delta)[0], variables)
        return B.tree_unflatten(structure, _values(variables)), _values(optimizer.variables)

    def _on(self, B: Backend, params: Tree) -> tuple[Any, list[Any]]:
        """A copy of the optimizer, and variables of these shapes and formats that it is built for."""
        formats = tuple((tuple(leaf.shape), B.dtype_name(leaf)) for leaf in B.tree_flatten(params)[0])
        if formats not in self._built:
            optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
            variables = [keras.Variable(tf.zeros(shape, dtype), dtype=dtype) for shape, dtype in formats]
            optimizer.build(variables)
            self._built[formats] = optimizer, variables
        built: tuple[Any, list[Any]] = self._built[formats]
        return built


def _values(variables: list[Any]) -> list[Any]:
    return [tf.identity(variable.value) for variable in variables]
