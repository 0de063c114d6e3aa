"""Flat functions of tensors made fast: the operations recorded, and machine code made of them."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch._guards import TracingContext, tracing
from torch._subclasses import FakeTensorMode
from torch.fx import GraphModule, Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.split_module import split_module

from metaspec.backends.torch.simplifying import simplify
from metaspec.errors import MutationError
from metaspec.task import Array

LOG = logging.getLogger("metaspec")
PIECE = 500  # operations in one TorchScript program: the time to make one grows with their square


def recorded(flat: Callable[..., Any], arrays: Sequence[Array]) -> GraphModule:
    """The operations that `flat` performs, without the transforms and the Python between them.

    It needs no compiler and a second or two.

    Raises:
        MutationError: `flat` wrote to its arguments.
    """
    examples = [_copied(x.detach()) for x in arrays]  # one tensor given twice would become one input
    with _shapes_noted_at_once():
        graph = make_fx(flat)(*examples)
    if any(x._version for x in examples):
        raise MutationError("compile: the function changes its arguments in place; write x + 1, not x += 1")
    simplify(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


@contextmanager
def _shapes_noted_at_once() -> Iterator[None]:
    """One mode in which the shape of every operation is noted.

    Without it `make_fx` makes a mode for each, with a stack trace in words, which is half of the time of a recording.
    """
    with tracing(TracingContext(FakeTensorMode())):
        yield


def replayed(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    """The recorded operations, one after the other.

    On CPUs TorchScript's interpreter calls them, in half of the time that Python takes.
    """
    graph = recorded(flat, arrays)
    with torch.no_grad(), suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # where it is gone one day Python's does the same
        if all(x.device.type == "cpu" for x in arrays):
            return torch.no_grad()(_scripted(graph, tuple(x.detach() for x in arrays)))
    return torch.no_grad()(graph)


def _scripted(graph: GraphModule, arrays: tuple[Array, ...]) -> Callable[..., Any]:
    """The graph as one TorchScript program, or as several, called in turn."""
    nodes = {node: number for number, node in enumerate(graph.graph.nodes)}
    if len(nodes) <= PIECE:
        return _traced(graph, arrays)
    pieces = split_module(graph, None, lambda node: nodes[node] // PIECE)
    _Scripting(pieces).run(*arrays)
    return pieces


class _Scripting(Interpreter):  # type: ignore[misc]  # PyTorch leaves it untyped
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
    if all(x.device.type == "cpu" for x in arrays) and not _has_cpp_compiler():
        LOG.warning(
            'compile: tier="native" needs a C++ compiler (g++ or clang++), and none was found; replaying instead'
        )
        return replayed(flat, arrays)
    LOG.warning("compile: PyTorch compiles %d operations; this may take a minute or two", len(graph.graph.nodes))
    from torch import _inductor  # a second or two

    start = time.perf_counter()
    with torch.no_grad():
        native = _inductor.compile(graph, list(arrays))
    LOG.warning("compile: done in %.0f s", time.perf_counter() - start)
    return torch.no_grad()(native)


def _copied(x: Array) -> Array:
    """A copy with the same strides, which `clone` gives to dense tensors alone."""
    reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    return x.as_strided((reach,), (1,)).clone().as_strided(x.shape, x.stride(), 0)


def _has_cpp_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
