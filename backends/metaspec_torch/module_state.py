"""A module with other parameters in it for the time of a call, and everything else about it as it was before.

`torch.func.functional_call` leaves modules that stand at two paths with the call's tensors in them (PyTorch issue
164759) and keeps what a forward pass stores in attributes. Here the attributes of every module are noted before and put
back after, whatever happened in between; each parameter is put in wherever the same object stands.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from metaspec.task import Array
from metaspec_torch._private import set_in_script

CONTAINERS = (dict, list)  # attributes of a module that a forward pass may change without replacing them


@contextmanager
def parameters_replaced(
    model: torch.nn.Module, params: Mapping[str, Array], buffers: Mapping[int, Array]
) -> Iterator[None]:
    """Within it the model has these parameters, by name, and these buffers, by the `id` of what they stand for."""
    given = dict(model.named_parameters())
    instead = {id(given[name]): value for name, value in params.items()} | dict(buffers)
    modules = list(model.modules())
    before = [_noted(module) for module in modules]
    scripted = [module for module in modules if isinstance(module, torch.jit.ScriptModule)]
    slots = [(module, name, x) for module in scripted for name, x in _tensors(module) if id(x) in instead]
    try:
        for module in modules:
            if not isinstance(module, torch.jit.ScriptModule):
                _replace(module, instead)
                _as_before_compilation(module)
        for module, name, x in slots:
            set_in_script(module, name, instead[id(x)])
        yield
    finally:
        for module, name, x in slots:
            set_in_script(module, name, x)
        for module, noted in zip(modules, before, strict=True):
            _restore(module, noted)


def state_tensors(model: torch.nn.Module) -> dict[str, Array]:
    """Buffers, and tensors that are plain attributes, each once, by the first name that they have."""
    found: dict[int, tuple[str, Array]] = {}
    for prefix, module in model.named_modules():
        plain = ((name, x) for name, x in module.__dict__.items() if type(x) is torch.Tensor)
        for name, x in (*module.named_buffers(recurse=False), *plain):
            found.setdefault(id(x), (f"{prefix}.{name}" if prefix else name, x))
    return dict(found.values())


def _tensors(module: torch.nn.Module) -> list[tuple[str, Array]]:
    own = module.named_parameters(recurse=False, remove_duplicate=False)
    return [*own, *module.named_buffers(recurse=False, remove_duplicate=False)]


def _replace(module: torch.nn.Module, instead: Mapping[int, Array]) -> None:
    for registry in (module._parameters, module._buffers, module.__dict__):
        for name, x in registry.items():
            if id(x) in instead:
                registry[name] = instead[id(x)]


def _as_before_compilation(module: torch.nn.Module) -> None:
    """Without what torch.compile has made of it, which has no second derivative; to be undone by `_restore`."""
    attributes = module.__dict__
    if "_orig_mod" in module._modules and "forward" in attributes:
        attributes["forward"] = module._modules["_orig_mod"].__call__
    if attributes.get("_compiled_call_impl") is not None:
        attributes["_compiled_call_impl"] = None


def _noted(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes by name; of a container that others may share, itself and its contents."""
    return {
        name: (value, type(value)(value)) if type(value) in CONTAINERS else (value, None)
        for name, value in module.__dict__.items()
    }


def _restore(module: torch.nn.Module, noted: Mapping[str, Any]) -> None:
    for name in [name for name in module.__dict__ if name not in noted]:
        del module.__dict__[name]
    for name, (value, contents) in noted.items():
        if contents is not None:
            value.clear()
            value.update(contents) if isinstance(value, dict) else value.extend(contents)
        module.__dict__[name] = value
