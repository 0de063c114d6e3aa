"""Fusion of sums with matrix products: x + c a @ b as one addmm or baddbmm.

It saves a call and a pass over memory where operations run one by one; compilers that fuse find such sums themselves.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from metaspec_torch.nodes import (
    deterministic_operations,
    insert_call,
    is_contiguous,
    is_tensor,
    mutates,
    replace_node,
    same_layout,
    shape_of,
    transposed_axes,
)
from metaspec_torch.simplifying import remove_no_ops

aten = torch.ops.aten
FUSED = {aten.bmm.default: aten.baddbmm.default, aten.mm.default: aten.addmm.default}
ADD_OR_SUB = {aten.add.Tensor, aten.sub.Tensor}
MUL = {aten.mul.Tensor, aten.mul.Scalar}


def fuse_addmm(recording: GraphModule) -> None:
    """Fuse each sum with a matrix product in it that has no other user.

    A recording with an operation that mutates its arguments is left as it is.
    """
    if any(mutates(node) for node in recording.graph.nodes):
        return
    for node in reversed(list(deterministic_operations(recording))):  # outer sums first: zeros may set the layout
        if node.target in ADD_OR_SUB and all(map(is_tensor, node.args)) and node.meta["val"].is_floating_point():
            _absorb_scale(node)
            any(_fuse(node, x, y, scale) for x, y, scale in _candidates(node))
    remove_no_ops(recording)
    recording.graph.eliminate_dead_code()
    recording.recompile()


def expand_alpha(recording: GraphModule) -> None:
    """Expand alpha to x + c * y: Inductor 2.13 drops the alpha of a sum that it fuses with a matrix product."""
    for node in deterministic_operations(recording):
        scale = node.kwargs.get("alpha", 1)
        if node.target in ADD_OR_SUB and scale != 1:
            with recording.graph.inserting_before(node):
                scaled = insert_call(recording.graph, aten.mul.Tensor, (node.args[1], scale))
            node.args, node.kwargs = (node.args[0], scaled), {}


def _absorb_scale(node: Node) -> None:
    """Rewrite x + c * y and x - c * y as one add with alpha."""
    x: Any
    y: Any
    x, y = node.args
    scale = node.kwargs.get("alpha", 1) * (1 if node.target is aten.add.Tensor else -1)
    by_number = y.target in MUL and isinstance(y.args[1], int | float)
    if by_number and _has_one_user(y) and x is not y and same_layout(y, y.args[0]):
        scale = scale * y.args[1]
        node.args = (x, y.args[0])
        node.graph.erase_node(y)
    node.target, node.kwargs = aten.add.Tensor, {} if scale == 1 else {"alpha": scale}


def _candidates(node: Node) -> Iterator[tuple[Node, Node, Any]]:
    """Yield (x, y, c) with node = x + c y; of zeros plus another sum, those of that sum too.

    Second derivatives of ReLU are such zeros, added to a column-major sum.
    """
    x: Any
    y: Any
    x, y = node.args
    scale = node.kwargs.get("alpha", 1)
    yield x, y, scale
    if scale == 1:
        yield y, x, 1
        onto_zeros = x.target is aten.zeros_like.default and y.target is aten.add.Tensor
        if onto_zeros and _has_one_user(y) and is_tensor(y.args[1]):
            yield from _candidates(y)


def _fuse(node: Node, x: Node, y: Node, scale: Any) -> bool:
    """Fuse node = x + scale y if y is a matrix product without other users; return whether it is fused."""
    ndim = len(shape_of(y))
    transposed = transposed_axes(y) == [ndim - 2, ndim - 1] and _has_one_user(y)
    matmul: Any = y.args[0] if transposed else y
    if not (matmul.target in FUSED and _has_one_user(matmul) and shape_of(y) == shape_of(node)):
        return False
    if scale == 0 or not isfinite(scale):
        return False  # BLAS skips the product for 0, which would hide a NaN in it
    column_major = not is_contiguous(node)  # the layout is to stay, as others may view it
    if len({z.meta["val"].dtype for z in (x, y, node)}) > 1:
        return False
    if column_major and not (len(shape_of(x)) == len(shape_of(node)) and node.meta["val"].mT.is_contiguous()):
        return False
    addend = x.meta["val"].mT if column_major else x.meta["val"]
    if ndim == 2 and addend.ndim == 2 and not addend.is_contiguous() and addend.mT.is_contiguous():
        return False  # TorchScript makes a sum of a 2-D addmm again, in the layout of x
    graph = node.graph
    with graph.inserting_before(node):
        factors = matmul.args if transposed == column_major else [_transpose(graph, x) for x in reversed(matmul.args)]
        args = (_transpose(graph, x) if column_major else x, *factors)
        fused = insert_call(graph, FUSED[matmul.target], args, {"alpha": scale})
        replace_node(node, _transpose(graph, fused) if column_major else fused)
    return True


def _transpose(graph: Graph, x: Any) -> Node:
    return insert_call(graph, aten.transpose.int, (x, -2, -1))


def _has_one_user(x: Node) -> bool:
    return len(x.users) == 1
