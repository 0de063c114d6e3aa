"""Modules of `torch.nn` as a loss of their parameters."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from copy import copy
from functools import wraps
from typing import Any

import optree
import torch
from torch.nn.parameter import is_lazy

from metaspec.backend.protocol import NAMESPACE
from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError
from metaspec.losses.from_model import LEAVE, Model, altered_statistics, random_numbers, without_variables
from metaspec.task import Array, Tree
from metaspec_torch._private import (
    DropsUnits,
    TorchDispatchMode,
    TracksStatistics,
    get_proxy_mode,
    is_wrapped,
    version_counter,
)
from metaspec_torch.module_state import parameters_replaced, state_tensors
from metaspec_torch.recomputation import recomputed_in
from metaspec_torch.seeded_draws import SeededDraws

Loss = Callable[[torch.nn.Module, Tree], Array]
EVALUATE = 'Call eval() on the layers that draw, pass seed="seed" and have an integer of that name in each batch'


def from_module(model: Any, loss: Loss, variables: Tree, running_statistics: str, seed: str | None = None) -> Model:
    """See `metaspec.from_model`. The loss is handed the module itself, on fresh copies of its buffers.

    What a module is asked for is how it behaves, not what its layers are: buffers are compared before and after, the
    random state too, and at its first evaluation the loss is computed twice.
    """
    _check_module(model)
    without_variables(variables)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    if not names:
        raise InvalidArgumentError("from_model: the module has no parameter that requires a gradient")
    params = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    _check_layers(model, running_statistics, seed is None)
    tried = False

    @wraps(loss)
    def of_params(params: Tree, batch: Tree) -> Array:
        nonlocal tried
        before = _versions(batch)
        value = evaluated(params, batch)
        if not (
            tried
            or not isinstance(value, torch.Tensor)
            or is_wrapped(value)
            or get_proxy_mode() is not None
            or _versions(batch) != before
        ):
            again = evaluated(params, batch)
            if not torch.equal(torch.nan_to_num(value.detach()), torch.nan_to_num(again.detach())):
                raise MutationError(
                    "from_model: two evaluations of the loss differ with nothing changed in between, and a "
                    "meta-gradient is of a function; have what it draws or counts in the batch"
                )
            tried = True
        return value

    def evaluated(params: Tree, batch: Tree) -> Array:
        _check_names(params, names)
        kept = state_tensors(model)
        fresh = {name: _copy(x, next(iter(params.values()))) for name, x in kept.items()}
        before = {name: version_counter(x) for name, x in fresh.items()}
        draws = None if seed is None else SeededDraws(_seed(batch, seed))

        def here(draws: SeededDraws | None) -> ExitStack:
            stack = ExitStack()
            stack.enter_context(parameters_replaced(model, params, {id(kept[name]): x for name, x in fresh.items()}))
            if "torch._dynamo" in sys.modules:  # what torch.compile makes has no second derivative
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            if draws is not None:
                stack.enter_context(draws)
            return stack

        def noted() -> Callable[[], ExitStack]:
            begun = copy(draws)  # each second evaluation draws as the first, which goes on drawing
            return lambda: here(copy(begun))

        with without_chance(draws is not None), here(draws), recomputed_in(noted):
            value = loss(model, batch)
            now = dict(model.named_buffers())  # a forward pass may put another tensor in a buffer's place
        altered = [name for name, x in fresh.items() if now.get(name, x) is not x or version_counter(x) != before[name]]
        if altered and running_statistics != LEAVE:
            raise _altered(model, altered)
        return value

    def restore(params: Tree) -> torch.nn.Module:
        _check_fit(model, params, names)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in params:
                    p.copy_(params[name])
        return model

    return Model(of_params, params, restore)


def _versions(batch: Tree) -> list[int | None]:
    return [version_counter(x) for x in optree.tree_leaves(batch, namespace=NAMESPACE) if isinstance(x, torch.Tensor)]


def _copy(x: Array, param: Array) -> Array:
    if is_wrapped(param) and x.is_floating_point():
        return param.new_zeros((), dtype=x.dtype, device=x.device) + x  # of every task, to be written to by every task
    return x.detach().clone()


def _seed(batch: Tree, name: str) -> Any:
    try:
        return batch[name]
    except (TypeError, KeyError, IndexError) as error:
        raise InvalidArgumentError(
            f"from_model: seed={name!r} names an entry of the batch, an integer of each support and query set, and "
            "the batch has none"
        ) from error


@contextmanager
def without_chance(seeded: bool = False) -> Iterator[None]:
    """Within it, nothing is drawn from a generator; with `seeded`, what operations draw comes from elsewhere.

    Raises:
        MutationError: Something was; the generator's state is as before.
    """
    recorder = _RandomOperations() if not seeded and get_proxy_mode() is not None else None
    before = torch.get_rng_state()
    try:
        with recorder or nullcontext():
            yield
    finally:
        drawn = not torch.equal(torch.get_rng_state(), before)
        if drawn:
            torch.set_rng_state(before)
    if recorder and recorder.names:
        raise random_numbers(", ".join(sorted(recorder.names)), EVALUATE)
    if drawn:
        raise random_numbers("the state of torch's generator is another after it", EVALUATE)


class _RandomOperations(TorchDispatchMode):
    """Notes operations that draw: on a recording's stand-ins the generator does not move."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in f.tags:
            self.names.add(str(f.overloadpacket))
        return f(*args, **(kwargs or {}))


def _check_module(model: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        raise InvalidTypeError(f"from_model: expected a torch.nn.Module, got {type(model).__name__}")
    if any(hasattr(module, "unshard") or hasattr(module, "summon_full_params") for module in model.modules()):
        raise InvalidTypeError(
            "from_model: got a module of FSDP's, whose hooks gather its own parameters before a forward pass; a "
            "meta-gradient calls it with others. Leave fully_shard out and shard the parameters: "
            "torch.distributed.tensor.distribute_tensor(p, mesh, [Shard(0)])"
        )
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        raise InvalidTypeError(
            "from_model: got a DistributedDataParallel wrapper, whose averaging belongs to backward(); pass its .module"
        )
    lazy = [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]
    if lazy:
        raise InvalidArgumentError(
            f"from_model: {', '.join(lazy)} have no shape yet; run the module on one batch first, then call from_model"
        )
    devices = {str(p.device) for p in model.parameters()}
    if len(devices) > 1:
        raise InvalidArgumentError(
            f"from_model: parameters are on several devices, {', '.join(sorted(devices))}; move the module to one with "
            "model.to(device)"
        )


def _check_layers(model: torch.nn.Module, running_statistics: str, without_seed: bool) -> None:
    """What can be told before there is a batch."""
    active = [(name, layer) for name, layer in model.named_modules() if layer.training]
    tracking = [
        f"{name}.running_mean"
        for name, layer in active
        if isinstance(layer, TracksStatistics) and getattr(layer, "running_mean", None) is not None
    ]
    if tracking and running_statistics != LEAVE:
        raise _altered(model, tracking)
    drawing = [name for name, layer in active if isinstance(layer, DropsUnits) and layer.p > 0]
    if drawing and without_seed:
        raise random_numbers(", ".join(drawing), EVALUATE)


def _altered(model: torch.nn.Module, names: list[str]) -> MutationError:
    layers = {name.rpartition(".")[0]: None for name in names}
    if all(hasattr(model.get_submodule(layer), "running_mean") for layer in layers):
        return altered_statistics(
            ", ".join(layers), "build the layers with track_running_stats=False, or call eval() on them"
        )
    return MutationError(
        f"from_model: the loss altered the module's buffers {', '.join(names)}, which leaks from task to task. Pass "
        'running_statistics="leave" to have every evaluation start from the buffers as they are and drop what it '
        "writes, or call eval() on the layers that write"
    )


def _check_names(params: Tree, names: list[str]) -> None:
    if not isinstance(params, Mapping):
        raise InvalidTypeError(
            "params: expected a dict of the module's parameters by name, as dict(module.named_parameters()) is, got "
            f"{type(params).__name__}"
        )
    unknown = [name for name in params if name not in names]
    if unknown:
        raise InvalidArgumentError(
            f"from_model: the module has no parameter {', '.join(map(str, unknown))} that requires a gradient; it has "
            f"{', '.join(names)}"
        )


def _check_fit(model: torch.nn.Module, params: Tree, names: list[str]) -> None:
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name in names}
    given = {name: tuple(p.shape) for name, p in params.items()}
    if given != shapes:
        raise InvalidArgumentError(f"restore: expected parameters of shapes {shapes}, got {given}")
