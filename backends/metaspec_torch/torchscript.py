"""Recordings as programs of TorchScript, whose interpreter calls operations in half of the time that Python takes.

A program is built from the recording's nodes. `torch.jit.trace` makes one too, but takes no lists of booleans, which
say what the backward passes of convolutions and normalisations compute, and keeps Python's stack for every operation.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from metaspec.task import Array
from metaspec_torch._private import ScriptGraph, script_function

MEMORY_FORMATS = (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)
"""In TorchScript they are numbers."""


def scripted(recording: GraphModule) -> Callable[..., Any]:
    """A function of the recording's arguments that performs its operations and returns the results as a tuple.

    Raises:
        Exception: TorchScript has no form of an operation or an argument; some say so at the first call.
    """
    program = _Program()
    for node in recording.graph.nodes:
        program.add(node, recording)
    function, kept = script_function(program.graph), program.kept

    def called(*arrays: Array) -> Any:
        return function(*arrays, *kept)

    return called


class _Program:
    """TorchScript's graph as it is built, and the values in it that stand for a recording's nodes.

    What follows from constants TorchScript computes once, and gives at each call, whatever a caller wrote to it. So the
    tensors that a recording keeps are arguments, and so is what an operation on no tensor starts from.

    Attributes:
        graph: The graph.
        kept: Its arguments after those of the recording.
    """

    def __init__(self) -> None:
        self.graph: Any = ScriptGraph()  # PyTorch's stub of it is incomplete
        self.kept: list[Any] = []
        self._values: dict[Node, Any] = {}
        self._constants: dict[tuple[type, str], Any] = {}

    def add(self, node: Node, recording: GraphModule) -> None:
        """Add a node, in the recording's order."""
        if node.op == "placeholder":
            self._values[node] = self.graph.addInput(node.name)
        elif node.op == "get_attr":
            self._values[node] = self._argument(getattr(recording, str(node.target)).detach(), torch.TensorType.get())
        elif node.op == "output":
            self._return(node.args[0])
        elif node.target is operator.getitem:
            several, number = node.args
            self._values[node] = self._values[several][number]
        else:
            self._values[node] = self._called(node)

    def _argument(self, x: Any, type_: Any) -> Any:
        self.kept.append(x)
        value = self.graph.addInput()
        value.setType(type_)
        return value

    def _called(self, node: Node) -> Any:
        """Append the operation, and return its result, or a list of none or several."""
        schema = node.target._schema
        given = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | node.kwargs
        operands = [self._value(given.get(a.name, a.default_value), a.type) for a in schema.arguments]
        if not node.all_input_nodes:
            first = schema.arguments[0]
            operands[0] = self._argument(given[first.name], first.type)
        found = self._appended(schema.name, operands, [x.type for x in schema.returns])
        if len(found) != 1:
            return found
        if isinstance(schema.returns[0].type, torch.ListType):
            return self._appended("prim::ListUnpack", found, [torch.TensorType.get()] * len(node.meta["val"]))
        return found[0]

    def _value(self, x: Any, wanted: Any) -> Any:
        """The value of an argument of the type that the operation's schema has for it."""
        if isinstance(x, Node):
            x = self._values[x]
            return self._list(x, torch.TensorType.get()) if isinstance(x, list) else x
        if isinstance(x, bool) and isinstance(wanted, torch.TensorType):  # its numbers are no booleans
            return self._argument(torch.tensor(x), wanted)
        if isinstance(wanted, torch.OptionalType) and x is not None:
            wanted = wanted.getElementType()
        if not isinstance(wanted, torch.ListType) or x is None:
            return self._constant(x)
        entries = list(x) if isinstance(x, list | tuple) else [x]
        if entries and all(isinstance(entry, int | float) for entry in entries):
            return self._constant(entries)
        return self._list([self._value(entry, wanted.getElementType()) for entry in entries], wanted.getElementType())

    def _constant(self, x: Any) -> Any:
        if isinstance(x, torch.memory_format):
            x = MEMORY_FORMATS.index(x)
        key = type(x), repr(x)
        if key not in self._constants:
            self._constants[key] = self.graph.insertConstant(x)
        return self._constants[key]

    def _list(self, values: list[Any], of: Any) -> Any:
        return self._appended("prim::ListConstruct", values, [torch.ListType(of)])[0]

    def _return(self, results: Any) -> None:
        if isinstance(results, Node):
            self.graph.registerOutput(self._values[results])
            return
        values = [self._value(x, None) for x in results]
        (both,) = self._appended("prim::TupleConstruct", values, [torch.TupleType([x.type() for x in values])])
        self.graph.registerOutput(both)

    def _appended(self, kind: str, operands: list[Any], types: list[Any]) -> list[Any]:
        node = self.graph.create(kind, operands, len(types))
        self.graph.appendNode(node)
        values = list(node.outputs())
        for value, type_ in zip(values, types, strict=True):
            value.setType(type_)
        return values
