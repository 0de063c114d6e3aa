"""Compilation of flat functions of tensors: recorded operations, replayed or compiled to machine code."""

import logging
import operator
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.passes.split_module import split_module

from metaspec.task import Array
from metaspec_torch._private import OpOverload, call_module, has_cpp_compiler, native_code, set_grad_enabled
from metaspec_torch.addmm_fusion import expand_alpha, fuse_addmm
from metaspec_torch.recording import recorded
from metaspec_torch.torchscript import scripted

LOG = logging.getLogger("metaspec")
PIECE = 1500  # operations in one TorchScript program: a split takes memory, and making a long one grows faster than it


def replayed(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    """Record the operations of `flat`, and return a function that runs them one after the other.

    On CPUs TorchScript's interpreter calls them, in half of the time that Python takes.
    """
    graph = recorded(flat, arrays)
    if not all(x.device.type == "cpu" for x in arrays):
        return _without_autograd(graph.forward)
    try:
        with torch.no_grad():
            programs = _Programs(_as_torchscript, PIECE)
            return _without_autograd(programs.get(graph, tuple(x.detach() for x in arrays)))
    except Exception as refusal:
        why = str(refusal).partition("\n")[0]
        LOG.info("compile: Python calls the operations, as TorchScript does not take them: %s", why)
        return _without_autograd(graph.forward)


def _as_torchscript(graph: GraphModule, _: tuple[Array, ...]) -> Callable[..., Any]:
    fuse_addmm(graph)
    return scripted(graph)


def _without_autograd(program: Callable[..., Any]) -> Callable[..., Any]:
    """Return the program with autograd off, whether or not its arguments require gradients."""

    def run(*arrays: Array) -> list[Any]:
        before = torch.is_grad_enabled()
        set_grad_enabled(False)  # torch.no_grad takes a few microseconds
        try:
            found = program(*arrays)
        finally:
            set_grad_enabled(before)
        return [x.detach() if getattr(x, "requires_grad", False) else x for x in found]  # an argument is a result

    return run


class _Programs:
    """Programs of recordings and of the modules that these call, each made once.

    Args:
        make: (recording, arguments) -> its program.
        longest: How many operations a program may have; longer recordings are split into several, called in turn.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], longest: int) -> None:
        self._make, self._longest = make, longest
        self._made: dict[GraphModule, Callable[..., Any]] = {}

    def get(self, graph: GraphModule, arrays: tuple[Array, ...]) -> Callable[..., Any]:
        """Return a recording's program after a call on these arrays: some fail only when called (x == True)."""
        self._call(graph, arrays)
        return self._made[graph]

    def _call(self, graph: GraphModule, arrays: tuple[Array, ...]) -> Any:
        if graph in self._made:
            return self._made[graph](*arrays)
        pieces = self._split(graph)
        if pieces is None:
            self._made[graph] = self._make(graph, arrays)
            return self._made[graph](*arrays)
        found = _Calls(pieces, self._call).run(*arrays)
        for name, module in list(pieces.named_children()):
            delattr(pieces, name)
            setattr(pieces, name, self._made[module])
        self._made[graph] = pieces.forward
        return found

    def _split(self, graph: GraphModule) -> GraphModule | None:
        """Split the recording into module calls; return None if it has none and is short enough.

        A module call is a piece of its own, with the nodes that unpack its results.
        """
        numbers: dict[Node, int] = {}
        piece = room = 0
        for node in graph.graph.nodes:
            source = node.args[0] if node.target is operator.getitem else None
            if isinstance(source, Node) and source.target is call_module:
                numbers[node] = numbers[source]
            elif node.op == "call_function":
                alone = node.target is call_module
                piece, room = (piece, room - 1) if room and not alone else (piece + 1, self._longest - 1)
                room = 0 if alone else room
                numbers[node] = piece
        if piece > 1:
            return split_module(graph, None, lambda node: numbers.get(node, 1))
        return graph if any(node.target is call_module for node in numbers) else None


class _Calls(Interpreter):
    """Runs a recording with `call(module, arguments)` in place of module calls."""

    def __init__(self, graph: GraphModule, call: Callable[..., Any]) -> None:
        super().__init__(graph)
        self._call = call

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._call(self.fetch_attr(target), args)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is call_module:
            return self._call(args[0], args[1:])
        return super().call_function(target, args, kwargs)


def compiled_natively(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    """Record the operations of `flat`, and compile them with Inductor; without a C++ compiler, replay them.

    The recording has no Python and no transforms left, so Inductor is called directly: Dynamo, which finds such a graph
    in Python code, and its guards at every call are not needed.
    """
    graph = recorded(flat, arrays)
    if all(x.device.type == "cpu" for x in arrays) and not has_cpp_compiler():
        LOG.warning(
            'compile: tier="native" needs a C++ compiler (g++ or clang++), and none was found; replaying instead'
        )
        return replayed(flat, arrays)
    count = sum(len(module.graph.nodes) for module in graph.modules() if isinstance(module, GraphModule))
    LOG.warning("compile: PyTorch compiles %d operations; this may take a minute or two", count)
    start = time.perf_counter()
    with torch.no_grad():
        native = _Programs(_as_native_code, sys.maxsize).get(graph, tuple(x.detach() for x in arrays))
    LOG.warning("compile: done in %.0f s", time.perf_counter() - start)
    return _without_autograd(native)


def _as_native_code(graph: GraphModule, arrays: tuple[Array, ...]) -> Callable[..., Any]:
    """Compile the recording with Inductor, its integer zeros made 0.0: Inductor takes x * 0 for 0 where x is NaN."""
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        if isinstance(node.target, OpOverload) and isinstance(value, torch.Tensor) and not _is_integer(value):
            types = (a.type for a in node.target._schema.arguments)
            node.args = tuple(
                0.0 if isinstance(x, int) and x == 0 and isinstance(type_, torch.NumberType | torch.TensorType) else x
                for x, type_ in zip(node.args, types, strict=False)
            )
    expand_alpha(graph)
    graph.recompile()
    return native_code(graph, arrays)


def _is_integer(x: Array) -> bool:
    return not (x.is_floating_point() or x.is_complex())
