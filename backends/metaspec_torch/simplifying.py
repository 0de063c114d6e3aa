"""A recording of tensor operations without those that change nothing.

Recordings of transforms are full of them: a batched matrix product alone is expanded, viewed, multiplied and viewed
back, whatever the shapes. In small networks each costs as much as the product.
"""

from math import prod
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from metaspec_torch._private import OpOverload
from metaspec_torch.nodes import (
    exchanged,
    is_contiguous,
    is_tensor,
    laid_out_alike,
    operations,
    replace,
    shape_of,
    writes,
)

aten = torch.ops.aten
RESHAPED = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}
SAME_IF_SHAPES_ARE = {*RESHAPED, aten.expand.default}
ALWAYS_SAME = {aten.alias.default, aten.detach.default}
SAME_BY_ONE = {aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar}
BY_SHAPE_ALONE = {aten.ones_like.default, aten.zeros_like.default, aten.full_like.default}
MOST_NUMBERS = 4096  # of a tensor that is kept from call to call rather than made at each


def simplify(recording: GraphModule) -> None:
    """Take out what changes nothing, what is computed twice, what depends on no argument.

    The results keep their bits, but for the sign of a zero. A recording with an operation that writes to its arguments
    is left as it is.
    """
    if any(writes(node) for node in recording.graph.nodes):
        return
    for passing in (without_detours, _without_constants, _without_repetitions):
        passing(recording)
    _with_results_of_their_own(recording)


def writes_to_an_argument(recording: GraphModule) -> bool:
    """Return whether an operation writes to an argument, through a view or `.data` of it too."""
    return any(_owner(x).op == "placeholder" for node in recording.graph.nodes for x in _written(node))


def _written(node: Node) -> list[Node]:
    """Return the tensors that an operation writes to."""
    if not writes(node) or not isinstance(node.target, OpOverload):
        return []
    given = dict(zip((a.name for a in node.target._schema.arguments), node.args, strict=False)) | node.kwargs
    written = [a.name for a in node.target._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return [given[name] for name in written if isinstance(given.get(name), Node)]


def _owner(x: Node) -> Node:
    """Return the tensor whose memory a view shows."""
    while x.args and isinstance(x.args[0], Node) and isinstance(x.target, OpOverload):
        if x.target._schema.arguments[0].alias_info is None:
            break
        x = x.args[0]
    return x


def _without_constants(recording: GraphModule) -> None:
    """What follows from no argument, or from its shape alone, is computed now."""
    kept: dict[Node, torch.Tensor] = {}
    for node in operations(recording):
        by_shape = node.target in BY_SHAPE_ALONE
        if prod(shape_of(node)) > MOST_NUMBERS or not (by_shape or all(x in kept for x in node.all_input_nodes)):
            continue
        args = map_arg(node.args, kept.get)
        if by_shape:
            like = node.args[0].meta["val"]
            example = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)
            args = (example, *node.args[1:])
        value = node.target(*args, **map_arg(node.kwargs, kept.get))
        name = f"constant{len(kept)}"
        recording.register_buffer(name, value)
        with recording.graph.inserting_before(node):
            constant = recording.graph.get_attr(name)
        constant.meta = node.meta
        kept[constant] = value
        replace(node, constant)


def _without_repetitions(recording: GraphModule) -> None:
    seen: dict[Any, Node] = {}
    for node in operations(recording):
        key = (node.target, _hashable(node.args), _hashable(node.kwargs))
        first = seen.setdefault(key, node)
        if first is not node:
            replace(node, first)


def without_detours(recording: GraphModule) -> None:
    for node in operations(recording):
        source: Any = node.args[0] if node.args else None
        if not is_tensor(source):
            continue
        if node.target in RESHAPED and source.target in RESHAPED and is_contiguous(source.args[0]):
            source = source.args[0]
            node.target = aten.view.default
            node.args = (source, *node.args[1:])
        by_shape = node.target in SAME_IF_SHAPES_ARE and shape_of(node) == shape_of(source)
        by_one = node.target in SAME_BY_ONE and _is_one(node.args[1]) and laid_out_alike(node, source)
        if node.target in ALWAYS_SAME or by_shape or by_one:
            replace(node, source)
        elif node.target is aten.add.Tensor and source.target is aten.zeros_like.default:
            if is_tensor(node.args[1]) and laid_out_alike(node, node.args[1]) and not node.kwargs:
                replace(node, node.args[1])
        elif (axes := exchanged(node)) and axes == exchanged(source):
            replace(node, source.args[0])


def _with_results_of_their_own(recording: GraphModule) -> None:
    """No two results share memory that did not before, and none is what is kept for the next call."""
    graph = recording.graph
    (output,) = graph.find_nodes(op="output")
    taken: set[Node] = set()

    def own(node: Any) -> Any:
        if not isinstance(node, Node):
            return node
        root = _root(node)
        if root.op == "get_attr" or root in taken:
            with graph.inserting_before(output):
                node = graph.call_function(aten.clone.default, (node,))
        taken.add(root)
        return node

    output.args = (map_arg(output.args[0], own),)


def _root(node: Node) -> Node:
    """The node whose memory this one's is."""
    while isinstance(node.target, OpOverload) and (node.target.is_view or node.target in RESHAPED):
        node = node.all_input_nodes[0]
    return node


def _is_one(x: Any) -> bool:
    return isinstance(x, int | float) and x == 1


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple(sorted((name, _hashable(item)) for name, item in value.items()))
    return (type(value), value)  # 1, 1.0 and True are equal, and are not the same argument
