"""Sums of a recording that are computed with a product: x + c a @ b as one operation.

It saves a pass over memory, and a call, where operations are called one after the other; compilers that fuse operations
find such sums by themselves.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from metaspec_torch.nodes import (
    called,
    exchanged,
    is_contiguous,
    is_tensor,
    laid_out_alike,
    operations,
    replace,
    shape_of,
    writes,
)
from metaspec_torch.simplifying import without_detours

aten = torch.ops.aten
WITH_PRODUCT = {aten.bmm.default: aten.baddbmm.default, aten.mm.default: aten.addmm.default}
SUMS = {aten.add.Tensor, aten.sub.Tensor}
PRODUCTS = {aten.mul.Tensor, aten.mul.Scalar}


def join_sums(recording: GraphModule) -> None:
    """Compute each sum with a product in it that has no other use.

    A recording with an operation that writes to its arguments is left as it is.
    """
    if any(writes(node) for node in recording.graph.nodes):
        return
    for node in reversed(list(operations(recording))):  # a sum with zeros before the sum that it keeps the order of
        if node.target in SUMS and all(map(is_tensor, node.args)) and node.meta["val"].is_floating_point():
            _scale_within(node)
            any(_joined(node, x, y, scale) for x, y, scale in _sums(node))
    without_detours(recording)
    recording.graph.eliminate_dead_code()
    recording.recompile()


def scale_before(recording: GraphModule) -> None:
    """Write x + c * y for the one operation: Inductor 2.13 forgets the c of a sum that it joins with a product."""
    for node in operations(recording):
        scale = node.kwargs.get("alpha", 1)
        if node.target in SUMS and scale != 1:
            with recording.graph.inserting_before(node):
                scaled = called(recording.graph, aten.mul.Tensor, (node.args[1], scale))
            node.args, node.kwargs = (node.args[0], scaled), {}


def _scale_within(node: Node) -> None:
    """Write the one operation for x + c * y and x - c * y."""
    x: Any
    y: Any
    x, y = node.args
    scale = node.kwargs.get("alpha", 1) * (1 if node.target is aten.add.Tensor else -1)
    by_number = y.target in PRODUCTS and isinstance(y.args[1], int | float)
    if by_number and _once(y) and x is not y and laid_out_alike(y, y.args[0]):
        scale = scale * y.args[1]
        node.args = (x, y.args[0])
        node.graph.erase_node(y)
    node.target, node.kwargs = aten.add.Tensor, {} if scale == 1 else {"alpha": scale}


def _sums(node: Node) -> Iterator[tuple[Node, Node, Any]]:
    """Yield (x, y, c) with node = x + c y; of zeros and another sum, those of that sum too.

    Second derivatives of ReLU are such zeros, added to a sum whose numbers lie column by column.
    """
    x: Any
    y: Any
    x, y = node.args
    scale = node.kwargs.get("alpha", 1)
    yield x, y, scale
    if scale == 1:
        yield y, x, 1
        if x.target is aten.zeros_like.default and y.target is aten.add.Tensor and _once(y) and is_tensor(y.args[1]):
            yield from _sums(y)


def _joined(node: Node, x: Node, y: Node, scale: Any) -> bool:
    """Compute a node that is x + scale y with the product that y is, where that has no other use."""
    ndim = len(shape_of(y))
    flipped = exchanged(y) == [ndim - 2, ndim - 1] and _once(y)
    product: Any = y.args[0] if flipped else y
    if not (product.target in WITH_PRODUCT and _once(product) and shape_of(y) == shape_of(node)):
        return False
    if scale == 0 or not isfinite(scale):
        return False  # BLAS computes no product for 0, which would hide a NaN in it
    across = not is_contiguous(node)  # its numbers are to stay in their order, which others may view
    if len({z.meta["val"].dtype for z in (x, y, node)}) > 1:
        return False
    if across and not (len(shape_of(x)) == len(shape_of(node)) and node.meta["val"].mT.is_contiguous()):
        return False
    start = x.meta["val"].mT if across else x.meta["val"]
    if ndim == 2 and start.ndim == 2 and not start.is_contiguous() and start.mT.is_contiguous():
        return False  # of one matrix TorchScript makes a sum again, in the order of x
    graph = node.graph
    with graph.inserting_before(node):
        factors = product.args if flipped == across else [_turned(graph, x) for x in reversed(product.args)]
        given = (_turned(graph, x) if across else x, *factors)
        found = called(graph, WITH_PRODUCT[product.target], given, {"alpha": scale})
        replace(node, _turned(graph, found) if across else found)
    return True


def _turned(graph: Graph, x: Any) -> Node:
    return called(graph, aten.transpose.int, (x, -2, -1))


def _once(x: Node) -> bool:
    return len(x.users) == 1
