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
"""Memory formats, each at its integer code in TorchScript."""


def scripted(recording: GraphModule) -> Callable[..., Any]:
    """Return a function of the recording's arguments that performs its operations and returns a tuple of the results.

    Raises:
        Exception: TorchScript has no form of an operation or an argument; some say so at the first call.
    """
    program = _Program()
    for node in recording.graph.nodes:
        program.add(node, recording)
    function, extra = script_function(program.graph), program.extra_inputs

    def run(*arrays: Array) -> Any:
        return function(*arrays, *extra)

    return run


class _Program:
    """TorchScript's graph as it is built, and the values in it that stand for a recording's nodes.

    TorchScript folds constants and returns the same tensor at each call, whatever a caller wrote to it. So the tensors
    that a recording stores are inputs, and so is the first argument of an operation without tensor arguments.

    Attributes:
        graph: The graph.
        extra_inputs: Its inputs after those of the recording.
    """

    def __init__(self) -> None:
        self.graph: Any = ScriptGraph()  # PyTorch's stub of it is incomplete
        self.extra_inputs: list[Any] = []
        self._values: dict[Node, Any] = {}
        self._constants: dict[tuple[type, str], Any] = {}

    def add(self, node: Node, recording: GraphModule) -> None:
        """Add a node, in the recording's order."""
        if node.op == "placeholder":
            self._values[node] = self.graph.addInput(node.name)
        elif node.op == "get_attr":
            self._values[node] = self._add_input(getattr(recording, str(node.target)).detach(), torch.TensorType.get())
        elif node.op == "output":
            self._return(node.args[0])
        elif node.target is operator.getitem:
            results, index = node.args
            self._values[node] = self._values[results][index]
        else:
            self._values[node] = self._add_call(node)

    def _add_input(self, x: Any, type_: Any) -> Any:
        self.extra_inputs.append(x)
        value = self.graph.addInput()
        value.setType(type_)
        return value

    def _add_call(self, node: Node) -> Any:
        """Append the operation, and return its result, or a list if it has none or several."""
        schema = node.target._schema
        given = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | node.kwargs
        operands = [self._value(given.get(a.name, a.default_value), a.type) for a in schema.arguments]
        if not node.all_input_nodes:
            first = schema.arguments[0]
            operands[0] = self._add_input(given[first.name], first.type)
        outputs = self._append(schema.name, operands, [x.type for x in schema.returns])
        if len(outputs) != 1:
            return outputs
        if isinstance(schema.returns[0].type, torch.ListType):
            return self._append("prim::ListUnpack", outputs, [torch.TensorType.get()] * len(node.meta["val"]))
        return outputs[0]

    def _value(self, x: Any, type_: Any) -> Any:
        """Return the value of an argument as the type that the operation's schema expects."""
        if isinstance(x, Node):
            x = self._values[x]
            return self._list(x, torch.TensorType.get()) if isinstance(x, list) else x
        if isinstance(x, bool) and isinstance(type_, torch.TensorType):  # which takes no booleans
            return self._add_input(torch.tensor(x), type_)
        if isinstance(type_, torch.OptionalType) and x is not None:
            type_ = type_.getElementType()
        if not isinstance(type_, torch.ListType) or x is None:
            return self._constant(x)
        entries = list(x) if isinstance(x, list | tuple) else [x]
        if entries and all(isinstance(entry, int | float) for entry in entries):
            return self._constant(entries)
        return self._list([self._value(entry, type_.getElementType()) for entry in entries], type_.getElementType())

    def _constant(self, x: Any) -> Any:
        if isinstance(x, torch.memory_format):
            x = MEMORY_FORMATS.index(x)
        key = type(x), repr(x)
        if key not in self._constants:
            self._constants[key] = self.graph.insertConstant(x)
        return self._constants[key]

    def _list(self, values: list[Any], element_type: Any) -> Any:
        return self._append("prim::ListConstruct", values, [torch.ListType(element_type)])[0]

    def _return(self, results: Any) -> None:
        if isinstance(results, Node):
            self.graph.registerOutput(self._values[results])
            return
        values = [self._value(x, None) for x in results]
        (result,) = self._append("prim::TupleConstruct", values, [torch.TupleType([x.type() for x in values])])
        self.graph.registerOutput(result)

    def _append(self, kind: str, operands: list[Any], types: list[Any]) -> list[Any]:
        node = self.graph.create(kind, operands, len(types))
        self.graph.appendNode(node)
        values = list(node.outputs())
        for value, type_ in zip(values, types, strict=True):
            value.setType(type_)
        return values
