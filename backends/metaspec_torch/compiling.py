"""Flat functions of tensors made fast: the operations recorded, and machine code made of them."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.split_module import split_module

from metaspec.errors import InvalidTypeError, MutationError
from metaspec.task import Array
from metaspec_torch._private import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    TracingContext,
    UnsupportedOperatorException,
    has_cpp_compiler,
    native_code,
    set_grad_enabled,
    tracing,
    unset_fake_temporarily,
)
from metaspec_torch.simplifying import simplify, writes_to_an_argument
from metaspec_torch.task_losses import CAN_BE_TRIED, UntriedError

LOG = logging.getLogger("metaspec")
VALUES = (
    "compile: the function looks at the values of its arguments, or makes a tensor whose shape depends on them ({}); a "
    "recording would keep those of the first call. Choose with torch.where(condition, a, b) in place of `if`, write "
    "torch.where(mask, x, 0) in place of x[mask], and keep arithmetic in tensors in place of .item(), .tolist() and "
    ".numpy(); or leave the function uncompiled"
)
NOT_OF_STAND_INS = (".numpy() is not supported for tensor subclasses", "trying to get value out of a tracing tensor")
PIECE = 1500  # operations in one TorchScript program: a split takes memory, and making a long one grows faster than it


def recorded(flat: Callable[..., Any], arrays: Sequence[Array]) -> GraphModule:
    """The operations that `flat` performs, without the transforms and the Python between them.

    It needs no compiler and a second or two. `flat` runs on stand-ins without values, so that it can look at none.

    Raises:
        MutationError: `flat` wrote to its arguments.
        InvalidTypeError: `flat` looked at values of its arguments, or made a tensor whose shape depends on them.
    """
    # In the context, as `make_fx` would make another for each tensor that follows from no argument.
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with torch.inference_mode(False), tracing(TracingContext(mode)), _unlogged():
        with mode:  # one tensor given twice would become one input, so each has a stand-in of its own
            examples = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device) for x in arrays]
        try:
            graph = _recorded_once_tried(flat, arrays, examples)
        except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException) as error:
            raise InvalidTypeError(VALUES.format(error)) from error
        except RuntimeError as error:
            if not any(words in str(error) for words in NOT_OF_STAND_INS):
                raise
            raise InvalidTypeError(VALUES.format(str(error).splitlines()[0])) from error
    constants = [getattr(graph, node.target, None) for node in graph.graph.nodes if node.op == "get_attr"]
    if any(isinstance(x, FakeTensor) for x in constants):
        raise InvalidTypeError(
            "compile: the function makes a tensor of its arguments which a recording loses (torch.nn.Parameter "
            "of a computed tensor does); compute with the tensor itself, or leave the function uncompiled"
        )
    if any(x._version for x in examples) or writes_to_an_argument(graph):  # .data has no version
        raise MutationError("compile: the function changes its arguments in place; write x + 1, not x += 1")
    simplify(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _recorded_once_tried(flat: Callable[..., Any], arrays: Sequence[Array], examples: Sequence[Array]) -> GraphModule:
    """Record `flat` on stand-ins; first run it on values where it has a loss of which nothing is known yet."""
    token = CAN_BE_TRIED.set(True)
    try:
        return make_fx(flat)(*examples)
    except UntriedError:
        pass
    finally:
        CAN_BE_TRIED.reset(token)
    with unset_fake_temporarily(), suppress(Exception):  # what it raises, the recording raises too
        flat(*arrays)
    return make_fx(flat)(*examples)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep PyTorch from logging the traceback of what an operation on stand-ins raises: it is raised as well."""
    log = logging.getLogger(FakeTensorMode.__module__)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def replayed(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    """The recorded operations, one after the other.

    On CPUs TorchScript's interpreter calls them, in half of the time that Python takes.
    """
    graph = recorded(flat, arrays)
    with torch.no_grad(), suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # where it is gone one day Python's does the same
        if all(x.device.type == "cpu" for x in arrays):
            examples = tuple(x.detach() for x in arrays)
            program = _scripted(graph, examples)
            program(*examples)  # some fail only when they are called: x * True
            return _unrecorded(program.forward)
    return _unrecorded(graph.forward)


def _unrecorded(program: Callable[..., Any]) -> Callable[..., Any]:
    """The program outside of autograd's recording, whatever its arguments are part of."""

    def called(*arrays: Array) -> list[Any]:
        before = torch.is_grad_enabled()
        set_grad_enabled(False)  # torch.no_grad takes a few microseconds
        try:
            found = program(*arrays)
        finally:
            set_grad_enabled(before)
        return [x.detach() if getattr(x, "requires_grad", False) else x for x in found]  # an argument is a result

    return called


def _scripted(graph: GraphModule, arrays: tuple[Array, ...]) -> Any:
    """The graph as one TorchScript program, or as several, called in turn."""
    nodes = {node: number for number, node in enumerate(graph.graph.nodes)}
    if len(nodes) <= PIECE:
        return _traced(graph, arrays)
    pieces = split_module(graph, None, lambda node: nodes[node] // PIECE)
    _Scripting(pieces).run(*arrays)
    return pieces


class _Scripting(Interpreter):
    """Puts a program in the place of each piece, as soon as its arguments are known."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        program = _traced(self.fetch_attr(target), args)
        setattr(self.module, target, program)
        return program(*args)


def _traced(module: Callable[..., Any], arrays: tuple[Array, ...]) -> Any:
    return torch.jit.trace(module, arrays, check_trace=False)


def compiled_natively(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    """The recorded operations, fused and compiled by Inductor; where it has no compiler to work with, replayed.

    The recording has no Python and no transforms left, so Inductor is called directly: Dynamo, which finds such a graph
    in Python code, and its guards at every call are not needed.
    """
    graph = recorded(flat, arrays)
    if all(x.device.type == "cpu" for x in arrays) and not has_cpp_compiler():
        LOG.warning(
            'compile: tier="native" needs a C++ compiler (g++ or clang++), and none was found; replaying instead'
        )
        return replayed(flat, arrays)
    LOG.warning("compile: PyTorch compiles %d operations; this may take a minute or two", len(graph.graph.nodes))
    start = time.perf_counter()
    with torch.no_grad():
        native = native_code(graph, arrays)
    LOG.warning("compile: done in %.0f s", time.perf_counter() - start)
    return _unrecorded(native)
