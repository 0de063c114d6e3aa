"""Modules of `torch.nn` as a loss of their parameters."""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any

import torch
from torch.func import functional_call, replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers, without_variables
from metaspec.task import Array, Tree

Loss = Callable[[torch.nn.Module, Tree], Array]


class _Judged(torch.nn.Module):  # type: ignore[misc]
    """A loss as the forward pass of a module that holds the model, so that the loss sees the model itself."""

    def __init__(self, model: torch.nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Tree) -> Array:
        return self.loss(self.model, batch)


def from_module(model: Any, loss: Loss, variables: Tree, running_statistics: str) -> Model:
    """See `metaspec.from_model`. Where statistics are left, the loss is handed a copy of the module without them."""
    if not isinstance(model, torch.nn.Module):
        raise InvalidTypeError(f"from_model: expected a torch.nn.Module, got {type(model).__name__}")
    without_variables(variables)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    if not names:
        raise InvalidArgumentError("from_model: the module has no parameter that requires a gradient")
    params = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    judged = _Judged(model, loss)
    if running_statistics == LEAVE:
        judged.model = replace_all_batch_norm_modules_(deepcopy(model))
    _check(judged.model)

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        _check(judged.model)  # train() may have been called since
        kept = dict(judged.model.named_buffers())
        before = [x._version for x in kept.values()]
        value = functional_call(judged, {f"model.{name}": p for name, p in params.items()}, (batch,))
        altered = [name for (name, x), version in zip(kept.items(), before, strict=True) if x._version != version]
        if altered:
            raise MutationError(
                f"from_model: the loss altered the module's buffers {', '.join(altered)}, which leaks from task to task"
            )
        return value

    def restore(params: Tree) -> torch.nn.Module:
        _check_fit(model, params, names)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in params:
                    p.copy_(params[name])
        return model

    return Model(of_params, params, restore)


def _check(model: torch.nn.Module) -> None:
    """No layer, as it is set now, keeps running statistics up to date or draws random numbers."""
    active = [(name, layer) for name, layer in model.named_modules() if layer.training]
    tracking = [
        name
        for name, layer in active
        if isinstance(layer, _NormBase) and getattr(layer, "running_mean", None) is not None
    ]
    if tracking:
        raise altered_statistics(", ".join(tracking), "build the layers with track_running_stats=False, or call eval()")
    drawing = [name for name, layer in active if isinstance(layer, _DropoutNd) and layer.p > 0]
    if drawing:
        raise random_numbers(", ".join(drawing), "Call eval() on them")


def _check_fit(model: torch.nn.Module, params: Tree, names: list[str]) -> None:
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name in names}
    given = {name: tuple(p.shape) for name, p in params.items()}
    if given != shapes:
        raise InvalidArgumentError(f"restore: expected parameters of shapes {shapes}, got {given}")
