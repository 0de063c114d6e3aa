"""Modules of Flax nnx as a loss of their `nnx.Param`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from flax import nnx

from metaspec.errors import InvalidTypeError, MutationError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers, without_variables
from metaspec.task import Array, Tree


def from_module(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. The loss is handed a new module at each call: what it alters is seen and gone."""
    if not isinstance(model, nnx.Module):
        raise InvalidTypeError(f"from_model: expected a flax.nnx.Module, got {type(model).__name__}")
    without_variables(variables)
    parts: Any = nnx.split(model, nnx.Param, ...)
    graph, params, rest = parts

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        module = nnx.merge(graph, params, rest, copy=True)
        value = loss(module, batch)
        _check(nnx.state(module, nnx.Not(nnx.Param)), rest, running_statistics)
        return value

    def restore(params: Tree) -> Any:
        nnx.update(model, params)
        return model

    return Model(of_params, jax.tree.map(lambda leaf: leaf, params), restore)


def _check(after: Any, before: Any, running_statistics: str) -> None:
    """Nothing but running statistics was altered, and those only where they may be."""
    earlier = dict(nnx.to_flat_state(before))
    altered = {
        ".".join(map(str, path)): variable
        for path, variable in nnx.to_flat_state(after)
        if path not in earlier or variable.get_value() is not earlier[path].get_value()
    }
    drawn = [name for name, variable in altered.items() if isinstance(variable, nnx.RngState)]
    if drawn:
        raise random_numbers(", ".join(drawn), "Set deterministic=True, by model.eval() say")
    statistics = [name for name, variable in altered.items() if isinstance(variable, nnx.BatchStat)]
    if statistics and running_statistics != LEAVE:
        raise altered_statistics(", ".join(statistics), "set use_running_average=True, by model.eval() say")
    others = sorted(set(altered) - set(statistics))
    if others:
        raise MutationError(f"from_model: the loss altered {', '.join(others)} of the module, which are no parameters")
