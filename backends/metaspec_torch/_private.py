"""Every name that this adapter uses and PyTorch does not document; each has a canary in tests/torch."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch._C import (
    DisableTorchFunctionSubclass,
    _create_function_from_graph,
    _current_graph_task_id,
    _functorch,
)
from torch._C import Graph as ScriptGraph
from torch._C import _set_grad_enabled as set_grad_enabled
from torch._functorch.vmap import lazy_load_decompositions
from torch._guards import TracingContext, tracing
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
    unset_fake_temporarily,
)
from torch.autograd.function import BackwardCFunction, once_differentiable
from torch.autograd.graph import _engine_run_backward
from torch.fx.experimental.proxy_tensor import (
    disable_proxy_modes_tracing,
    get_proxy_mode,
    get_proxy_slot,
    make_fx,
    track_tensor_tree,
)
from torch.nn.modules.batchnorm import _NormBase as TracksStatistics
from torch.nn.modules.dropout import _DropoutNd as DropsUnits
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "DataDependentOutputException",
    "DisableTorchFunctionSubclass",
    "DropsUnits",
    "DynamicOutputShapeException",
    "FakeTensor",
    "FakeTensorMode",
    "OpOverload",
    "ScriptGraph",
    "TorchDispatchMode",
    "TracingContext",
    "TracksStatistics",
    "UnsupportedOperatorException",
    "call_module",
    "called_in_recording",
    "differentiated_by_functorch",
    "differentiates_once",
    "each_pulled",
    "each_scaled",
    "each_sum",
    "get_proxy_mode",
    "has_cpp_compiler",
    "in_backward_pass",
    "is_recorded",
    "is_wrapped",
    "is_zero_tensor",
    "mapped_over",
    "native_code",
    "recorded_apart",
    "script_function",
    "set_grad_enabled",
    "set_in_script",
    "stand_in",
    "tracing",
    "under_functorch",
    "unset_fake_temporarily",
    "version_counter",
    "version_counters",
    "wrapper_subclass",
]


wrapper_subclass = torch.Tensor._make_wrapper_subclass
_decompositions_loaded = cache(lazy_load_decompositions)
_MARKED = once_differentiable(len).__code__


def is_wrapped(x: torch.Tensor) -> bool:
    """Whether a transform of `torch.func` has put its own tensor around the values."""
    return bool(_functorch.is_functorch_wrapped_tensor(x))


def mapped_over(f: Callable[..., list[Any]], columns: Sequence[torch.Tensor]) -> list[Any]:
    """`torch.vmap` of f over axis 0 of each column; what f returns and is no tensor stays as it is."""
    _decompositions_loaded()
    count = len(columns[0])
    level = _functorch._vmap_increment_nesting(count, "error")
    try:
        found = f(*(_functorch._add_batch_dim(column, 0, level) for column in columns))
        return [_functorch._remove_batch_dim(x, level, count, 0) if isinstance(x, torch.Tensor) else x for x in found]
    finally:
        _functorch._vmap_decrement_nesting()


def under_functorch() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return _functorch.peek_interpreter_stack() is not None


def differentiated_by_functorch() -> bool:
    """Whether one of the transforms at work is a derivative; only then need a pull-back record its own work."""
    levels = _functorch.get_interpreter_stack() or []
    return any(level.key() in (_functorch.TransformType.Grad, _functorch.TransformType.Jvp) for level in levels)


def in_backward_pass() -> bool:
    """Whether autograd's engine calls, as it does where a checkpoint computes a part again."""
    return bool(_current_graph_task_id() != -1)


@cache
def differentiates_once(kind: Any) -> bool:
    """Whether nodes of autograd's graph of this type are of a Function whose backward is `once_differentiable`."""
    if not issubclass(kind, BackwardCFunction):
        return False
    return getattr(getattr(kind._forward_cls, "backward", None), "__code__", None) is _MARKED


def is_zero_tensor(x: torch.Tensor) -> bool:
    """Whether the tensor is one of forward mode's zeros without storage, which NumPy cannot read."""
    return bool(x._is_zerotensor())


def version_counter(x: torch.Tensor) -> int | None:
    """How often the tensor's memory was written to; None of a tensor of inference mode, which does not count it."""
    return None if x.is_inference() else int(x._version)


def version_counters(leaves: Sequence[Any]) -> list[int | None]:
    """The version counters of the tensors among the leaves."""
    try:
        return [x._version for x in leaves]
    except (AttributeError, RuntimeError):  # a leaf is no tensor, or one of inference mode
        return [version_counter(x) for x in leaves if isinstance(x, torch.Tensor)]


def each_pulled(
    outputs: Sequence[Any], inputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor], keep: bool, again: bool
) -> Sequence[torch.Tensor | None]:
    """`torch.autograd.grad` without its checks of shapes in Python, which cost as much as a small network's layer."""
    shares: Sequence[torch.Tensor | None] = _engine_run_backward(
        tuple(outputs), tuple(cotangents), keep, again, tuple(inputs), True, accumulate_grad=False
    )
    return shares


def each_sum(x: Sequence[torch.Tensor], y: Sequence[torch.Tensor], c: float) -> Sequence[torch.Tensor]:
    """x + c y of each pair of tensors, in one call."""
    sums: Sequence[torch.Tensor] = torch._foreach_add(x, y, alpha=c)
    return sums


def each_scaled(x: Sequence[torch.Tensor], c: float) -> Sequence[torch.Tensor]:
    """c x of each tensor, in one call."""
    products: Sequence[torch.Tensor] = torch._foreach_mul(x, c)
    return products


def is_recorded(x: Any) -> bool:
    """Whether the recording at work follows this tensor."""
    mode = get_proxy_mode()
    return mode is not None and isinstance(x, FakeTensor) and get_proxy_slot(x, mode.tracer, None) is not None


def stand_in(x: torch.Tensor, mode: FakeTensorMode) -> torch.Tensor:
    """A tensor without values, of the shape, strides, dtype and device of x."""
    with mode:
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)


def recorded_apart(
    f: Callable[..., Any], arrays: Sequence[FakeTensor]
) -> tuple[torch.fx.GraphModule, list[torch.Tensor]]:
    """A recording of f that the recording at work does not see, and the stand-ins that it was made on."""
    with disable_proxy_modes_tracing():
        examples = [stand_in(x, x.fake_mode) for x in arrays]
        return make_fx(f)(*examples), examples


def call_module(module: Callable[..., Any], *arrays: torch.Tensor) -> Any:
    """module(*arrays): the function of a recording's nodes that call a module which was recorded apart."""
    return module(*arrays)


def called_in_recording(
    name: str, module: torch.fx.GraphModule, arrays: Sequence[torch.Tensor], results: Sequence[Any]
) -> list[Any]:
    """Record a call of a module, by this name a part of the recording; `results` are like those of the call."""
    tracer = get_proxy_mode().tracer
    setattr(tracer.root, name, module)
    given = (module, *(tracer.unwrap_proxy(x) for x in arrays))
    proxy = tracer.create_proxy("call_function", call_module, given, {})
    with disable_proxy_modes_tracing():
        found = [stand_in(x, x.fake_mode) if isinstance(x, FakeTensor) else x for x in results]
    track_tensor_tree(found, proxy, constant=None, tracer=tracer)
    return found


def set_in_script(module: torch.jit.ScriptModule, name: str, x: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter or a buffer of one scripted module, which are not in Python's reach."""
    module._c.setattr(name, x)


def script_function(graph: ScriptGraph) -> Callable[..., Any]:
    """The function in TorchScript that performs the graph's operations."""
    function: Callable[..., Any] = _create_function_from_graph("f", graph)
    return function


def native_code(graph: torch.fx.GraphModule, arrays: Sequence[torch.Tensor]) -> Callable[..., Any]:
    """Machine code of a recording, by Inductor."""
    from torch._inductor import config  # a second or two
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def compiled(graph: torch.fx.GraphModule, arrays: Sequence[Any], **options: Any) -> Any:
        # In place, 2.13 writes a result into a part of a `cat` and gives the memory of the whole to the next one.
        in_place = not graph.graph.find_nodes(op="call_function", target=torch.ops.aten.cat.default)
        with config.patch(inplace_buffers=in_place):
            return compile_fx_inner(graph, arrays, **options)

    code: Callable[..., Any] = compile_fx(graph, list(arrays), inner_compile=compiled)
    return code


def has_cpp_compiler() -> bool:
    """Whether Inductor finds a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
