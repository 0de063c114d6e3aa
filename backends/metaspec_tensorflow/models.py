"""Keras's models on TensorFlow as a loss of their trainable variables."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import keras
import tensorflow as tf

from metaspec.errors import BackendMismatchError, InvalidArgumentError, InvalidTypeError, MutationError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers, without_variables
from metaspec.task import Array, Tree

ABOVE = 4  # frames from the warning to the caller of metaspec.from_model


def from_model(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. The loss runs in a scope in which the variables have other values, and no effect."""
    if not isinstance(model, keras.Layer):
        raise InvalidTypeError(f"from_model: expected a keras.Model, got {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise BackendMismatchError(
            f"from_model: Keras was imported with the backend {keras.backend.backend()!r}; set the environment "
            "variable KERAS_BACKEND=tensorflow before it is imported"
        )
    without_variables(variables)
    trainable, others = model.trainable_variables, model.non_trainable_variables
    if not trainable:
        raise InvalidArgumentError(
            "from_model: the model has no trainable variables; build it first, by keras.Input or by calling it once"
        )
    statistics = {id(variable) for variable in _statistics(model)}
    _warn(model, running_statistics)

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        values = [tf.convert_to_tensor(variable) for variable in others]
        mapping = [*zip(trainable, params, strict=True), *zip(others, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            value = loss(model, batch)
        altered = [v for v, x in zip(others, values, strict=True) if scope.get_current_value(v) is not x]
        _check([v for v in altered if running_statistics != LEAVE or id(v) not in statistics], statistics)
        return value

    def restore(params: Tree) -> Any:
        for variable, value in zip(trainable, params, strict=True):
            variable.assign(value)
        return model

    return Model(of_params, [tf.identity(tf.convert_to_tensor(v)) for v in trainable], restore)


def _warn(model: Any, running_statistics: str) -> None:
    """`tf.nn.moments`, on which these layers stand, takes the mean within the variance as a constant."""
    kinds: list[Any] = [keras.layers.GroupNormalization, keras.layers.LayerNormalization]
    if running_statistics == LEAVE:
        kinds.append(keras.layers.BatchNormalization)
    names = [layer.name for layer in model._flatten_layers() if any(isinstance(layer, kind) for kind in kinds)]
    if names:
        warnings.warn(
            f"from_model: second derivatives through {', '.join(names)} are wrong in TensorFlow (tf.nn.moments stops "
            "the gradient of the mean within the variance; first derivatives are right): FO-MAML and Reptile are, "
            "MAML and iMAML are not. Write the normalisation out, (x - mean) / sqrt(mean((x - mean)**2) + "
            "epsilon), in a layer of your own",
            UserWarning,
            stacklevel=ABOVE,
        )


def _statistics(model: Any) -> list[Any]:
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]


def _check(altered: list[Any], statistics: set[int]) -> None:
    if not altered:
        return
    names = ", ".join(variable.path for variable in altered)
    if all("seed" in variable.path for variable in altered):
        raise random_numbers(names, "Call the model with training=False")
    if all(id(variable) in statistics for variable in altered):
        raise altered_statistics(names, "call the model with training=False")
    raise MutationError(f"from_model: the loss altered variables that are no parameters: {names}")
