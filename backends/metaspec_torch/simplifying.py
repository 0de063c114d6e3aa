"""Simplification of recordings: no-op removal, constant folding, common-subexpression elimination.

Recordings of transforms are full of no-ops: a batched matrix product alone is expanded, viewed, multiplied and viewed
back, whatever the shapes. In small networks each costs as much as the product.
"""

from math import prod
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from metaspec_torch._private import OpOverload
from metaspec_torch.nodes import (
    deterministic_operations,
    is_contiguous,
    is_tensor,
    mutates,
    replace_node,
    same_layout,
    shape_of,
    transposed_axes,
)

aten = torch.ops.aten
RESHAPES = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}
NO_OPS_IF_SAME_SHAPE = {*RESHAPES, aten.expand.default}
NO_OPS = {aten.alias.default, aten.detach.default}
NO_OPS_BY_ONE = {aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar}
FILLS = {aten.ones_like.default, aten.zeros_like.default, aten.full_like.default}
MAX_ENTRIES = 4096  # of a tensor that is stored rather than computed at each call


def simplify(recording: GraphModule) -> None:
    """Remove no-ops, fold constants and eliminate common subexpressions; dead code is left to the caller.

    The results keep their bits, but for the sign of a zero. Recordings with mutations are left as they are.
    """
    if any(mutates(node) for node in recording.graph.nodes):
        return
    for rewrite in (remove_no_ops, _fold_constants, _eliminate_common_subexpressions):
        rewrite(recording)
    _unalias_results(recording)


def writes_to_an_argument(recording: GraphModule) -> bool:
    """Return whether an operation writes to an argument, through a view or `.data` of it too."""
    return any(_base(x).op == "placeholder" for node in recording.graph.nodes for x in _mutated(node))


def _mutated(node: Node) -> list[Node]:
    """Return the arguments that an operation mutates."""
    if not mutates(node) or not isinstance(node.target, OpOverload):
        return []
    given = dict(zip((a.name for a in node.target._schema.arguments), node.args, strict=False)) | node.kwargs
    mutated = [a.name for a in node.target._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return [given[name] for name in mutated if isinstance(given.get(name), Node)]


def _base(x: Node) -> Node:
    """Return the base of a view, or the tensor itself."""
    while x.args and isinstance(x.args[0], Node) and isinstance(x.target, OpOverload):
        if x.target._schema.arguments[0].alias_info is None:
            break
        x = x.args[0]
    return x


def _fold_constants(recording: GraphModule) -> None:
    """Compute now what depends on no argument, or only on a tensor's shape."""
    folded: dict[Node, torch.Tensor] = {}
    for node in deterministic_operations(recording):
        by_shape = node.target in FILLS
        if prod(shape_of(node)) > MAX_ENTRIES or not (by_shape or all(x in folded for x in node.all_input_nodes)):
            continue
        args = map_arg(node.args, folded.get)
        if by_shape:
            like = node.args[0].meta["val"]
            example = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)
            args = (example, *node.args[1:])
        value = node.target(*args, **map_arg(node.kwargs, folded.get))
        name = f"constant{len(folded)}"
        recording.register_buffer(name, value)
        with recording.graph.inserting_before(node):
            constant = recording.graph.get_attr(name)
        constant.meta = node.meta
        folded[constant] = value
        replace_node(node, constant)


def _eliminate_common_subexpressions(recording: GraphModule) -> None:
    seen: dict[Any, Node] = {}
    for node in deterministic_operations(recording):
        key = (node.target, _hashable(node.args), _hashable(node.kwargs))
        first = seen.setdefault(key, node)
        if first is not node:
            replace_node(node, first)


def remove_no_ops(recording: GraphModule) -> None:
    """Remove no-ops, merge consecutive reshapes and cancel pairs of equal transposes."""
    for node in deterministic_operations(recording):
        source: Any = node.args[0] if node.args else None
        if not is_tensor(source):
            continue
        if node.target in RESHAPES and source.target in RESHAPES and is_contiguous(source.args[0]):
            source = source.args[0]
            node.target = aten.view.default
            node.args = (source, *node.args[1:])
        by_shape = node.target in NO_OPS_IF_SAME_SHAPE and shape_of(node) == shape_of(source)
        by_one = node.target in NO_OPS_BY_ONE and _is_one(node.args[1]) and same_layout(node, source)
        if node.target in NO_OPS or by_shape or by_one:
            replace_node(node, source)
        elif node.target is aten.add.Tensor and source.target is aten.zeros_like.default:
            if is_tensor(node.args[1]) and same_layout(node, node.args[1]) and not node.kwargs:
                replace_node(node, node.args[1])
        elif (axes := transposed_axes(node)) and axes == transposed_axes(source):
            replace_node(node, source.args[0])


def _unalias_results(recording: GraphModule) -> None:
    """Clone each result that shares memory with an earlier result or with a stored constant."""
    graph = recording.graph
    (output,) = graph.find_nodes(op="output")
    roots: set[Node] = set()

    def unaliased(node: Any) -> Any:
        if not isinstance(node, Node):
            return node
        root = _root(node)
        if root.op == "get_attr" or root in roots:
            with graph.inserting_before(output):
                node = graph.call_function(aten.clone.default, (node,))
        roots.add(root)
        return node

    output.args = (map_arg(output.args[0], unaliased),)


def _root(node: Node) -> Node:
    """Return the node whose memory a node shares, or may share."""
    while isinstance(node.target, OpOverload) and (node.target.is_view or node.target in RESHAPES):
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
