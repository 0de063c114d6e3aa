"""Modules of Equinox as a loss of their floating arrays."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import equinox as eqx
import jax

from metaspec.errors import InvalidTypeError, MutationError
from metaspec.losses.from_model import Model, without_variables
from metaspec.task import Array, Tree


def from_module(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. State is the loss's own business: a module of Equinox cannot be altered."""
    if not isinstance(model, eqx.Module):
        raise InvalidTypeError(f"from_model: expected an equinox.Module, got {type(model).__name__}")
    without_variables(variables)
    indices = jax.tree.leaves(model, is_leaf=_is_index)
    if any(_is_index(leaf) and jax.tree.leaves(leaf) for leaf in indices):
        raise MutationError(
            "from_model: the module holds the first values of its state, which are no parameters; make it with "
            "equinox.nn.make_with_state, and have the loss hand the state to the module and drop what it gives back"
        )
    params, static = eqx.partition(model, eqx.is_inexact_array)

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        return loss(eqx.combine(params, static), batch)

    return Model(of_params, params, lambda params: eqx.combine(params, static))


def _is_index(x: Any) -> bool:
    return isinstance(x, eqx.nn.StateIndex)
