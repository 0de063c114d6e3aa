"""Keras's optimizers as outer optimisers, by their stateless form."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import tensorflow as tf

from metaspec.errors import BackendMismatchError, InvalidTypeError
from metaspec.protocol import Backend
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class KerasOptimizer:
    """One step of a copy of the optimizer, whose variables are the state; its schedules count in its own state.

    Attributes:
        optimizer: An instance such as `keras.optimizers.Adam(1e-3)`; it is not altered.
    """

    optimizer: Any
    _built: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    traceable: ClassVar[bool] = True

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
        return [tf.convert_to_tensor(variable) for variable in self._on(B, params).variables]

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """One step."""
        leaves, structure = B.tree_flatten(params)
        optimizer = self._on(B, params)
        moved, state = optimizer.stateless_apply(state, B.tree_flatten(delta)[0], leaves)
        return B.tree_unflatten(structure, [tf.convert_to_tensor(leaf) for leaf in moved]), list(state)

    def _on(self, B: Backend, params: Tree) -> Any:
        """A copy of the optimizer that is built for parameters of these shapes and formats."""
        formats = tuple((tuple(leaf.shape), B.dtype_name(leaf)) for leaf in B.tree_flatten(params)[0])
        if formats not in self._built:
            with tf.init_scope():  # variables cannot be made while a function is traced
                optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
                optimizer.build([keras.Variable(tf.zeros(shape, dtype), dtype=dtype) for shape, dtype in formats])
            self._built[formats] = optimizer
        return self._built[formats]
