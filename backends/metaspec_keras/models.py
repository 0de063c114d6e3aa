"""Keras's models as a loss of their trainable variables, on whichever backend Keras was imported with."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import keras

from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers, without_variables
from metaspec.task import Array, Tree


def pure_model(
    model: Any,
    loss: Callable[[Any, Tree], Array],
    variables: Tree,
    running_statistics: str,
    copy: Callable[[Any], Array],
    context: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Model:
    """Return a Keras model as metaspec takes it; see `metaspec.from_model`.

    The loss runs in a scope in which the variables have other values, and in which what it assigns to them has no
    effect outside.

    Args:
        model: A built `keras.Layer`.
        loss: (model, batch) -> scalar.
        variables: None; a Keras model has its own.
        running_statistics: As in `from_model`.
        copy: A variable -> an array of the framework with its value, outside of any recording.
        context: What the loss is to run in, beside Keras's own scope.
    """
    if not isinstance(model, keras.Layer):
        raise InvalidTypeError(f"from_model: expected a keras.Model, got {type(model).__name__}")
    without_variables(variables)
    trainable, others = model.trainable_variables, model.non_trainable_variables
    if not trainable:
        raise InvalidArgumentError(
            "from_model: the model has no trainable variables; build it first, by keras.Input or by calling it once"
        )
    statistics = {id(variable) for variable in _statistics(model)}

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        values = [copy(variable) for variable in others]
        mapping = [*zip(trainable, params, strict=True), *zip(others, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope, context():
            value = loss(model, batch)
        altered = [v for v, x in zip(others, values, strict=True) if scope.get_current_value(v) is not x]
        _check([v for v in altered if running_statistics != LEAVE or id(v) not in statistics], statistics)
        return value

    def restore(params: Tree) -> Any:
        for variable, value in zip(trainable, params, strict=True):
            variable.assign(value)
        return model

    return Model(of_params, [copy(variable) for variable in trainable], restore)


def layers_of(model: Any) -> list[Any]:
    """Return a layer and all layers within it.

    `Layer._flatten_layers` is private; the public `layers` leaves out those that a layer of one's own holds.
    """
    return list(model._flatten_layers())


def _statistics(model: Any) -> list[Any]:
    layers = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.BatchNormalization)]
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
