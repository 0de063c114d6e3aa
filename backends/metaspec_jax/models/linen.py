"""Modules of Flax linen as a loss of their variables' collection `params`."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jax
from flax import errors, linen

from metaspec.errors import InvalidTypeError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers
from metaspec.task import Array, Tree

STATISTICS = "batch_stats"


def from_module(model: Any, loss: Callable[[Any, Tree], Array], variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. The loss is handed the module bound to the variables."""
    if not isinstance(model, linen.Module):
        raise InvalidTypeError(f"from_model: expected a flax.linen.Module, got {type(model).__name__}")
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise InvalidTypeError(
            "from_model: a linen module has no parameters of its own; pass variables=module.init(key, example), a "
            f"dictionary with 'params'; got {variables!r:.80}"
        )
    others = {name: collection for name, collection in variables.items() if name != "params"}
    mutable = [STATISTICS] if running_statistics == LEAVE else False
    apply = linen.apply(loss, model, mutable=mutable)

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        try:
            returned = apply({"params": params, **others}, batch)
        except errors.ModifyScopeVariableError as error:
            raise altered_statistics(f"collections {', '.join(others)}", "use_running_average=True") from error
        except errors.InvalidRngError as error:
            raise random_numbers(str(error), "Call the module with deterministic=True") from error
        return returned if mutable is False else returned[0]

    return Model(
        of_params, jax.tree.map(lambda leaf: leaf, variables["params"]), lambda params: {"params": params, **others}
    )
