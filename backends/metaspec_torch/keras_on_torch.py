"""Keras's models on PyTorch (KERAS_BACKEND=torch) as a loss of their trainable variables."""

from collections.abc import Callable
from typing import Any

from metaspec.losses.from_model import Model
from metaspec.task import Array, Tree
from metaspec_keras.models import pure_model
from metaspec_torch.models import without_chance


def from_model(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`."""
    return pure_model(model, loss, variables, running_statistics, _value, without_chance)


def _value(variable: Any) -> Array:
    return variable.value.detach().clone()
