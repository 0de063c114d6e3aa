"""The nodes of a recording of tensor operations: queries, and edits of the graph."""

from collections.abc import Iterator
from operator import getitem
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from metaspec_torch._private import OpOverload, call_module

aten = torch.ops.aten


def deterministic_operations(recording: GraphModule) -> Iterator[Node]:
    """Yield the operations that compute one tensor and draw no random numbers."""
    for node in list(recording.graph.nodes):
        known = isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded not in node.target.tags
        if known and is_tensor(node):
            yield node


def mutates(node: Node) -> bool:
    """Return whether an operation mutates one of its arguments, or may."""
    if node.op != "call_function" or node.target in (getitem, call_module):
        return False
    return not isinstance(node.target, OpOverload) or node.target._schema.is_mutable


def is_tensor(node: Any) -> bool:
    """Return whether an argument is a node that stands for one tensor."""
    return isinstance(node, Node) and isinstance(node.meta.get("val"), torch.Tensor)


def shape_of(node: Any) -> tuple[int, ...]:
    """Return the shape of a tensor."""
    return tuple(node.meta["val"].shape)


def is_contiguous(node: Any) -> bool:
    """Return whether an argument is a row-major (contiguous) tensor."""
    return is_tensor(node) and node.meta["val"].is_contiguous()


def same_layout(node: Node, source: Node) -> bool:
    """Return whether two tensors have the same dtype, shape and memory layout."""
    x, y = node.meta["val"], source.meta["val"]
    strides = zip(x.shape, x.stride(), y.stride(), strict=True) if x.shape == y.shape else ()
    return x.dtype == y.dtype and x.shape == y.shape and all(a == b for size, a, b in strides if size != 1)


def transposed_axes(x: Node) -> list[int]:
    """Return the two axes that a transpose swaps, the smaller first; none for other operations."""
    if x.target is aten.t.default:
        return [0, 1]
    ndim = max(1, len(shape_of(x)))
    return sorted(axis % ndim for axis in x.args[1:]) if x.target is aten.transpose.int else []


def insert_call(graph: Graph, operation: Any, args: tuple[Any, ...], options: Any = None) -> Node:
    """Insert a call of operation(*args, **options) at the graph's insertion point."""
    node = graph.call_function(operation, args, options or {})
    node.meta["val"] = operation(*map_arg(args, lambda x: x.meta["val"]), **(options or {}))
    return node


def replace_node(node: Node, replacement: Node) -> None:
    """Replace all uses of a node, and remove it."""
    node.replace_all_uses_with(replacement)
    node.graph.erase_node(node)
