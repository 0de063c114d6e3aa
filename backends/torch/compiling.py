"""Flat functions of tensors made fast: the operations recorded, and machine code made of them."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from metaspec.errors import MutationError
from metaspec.task import Array

LOG = logging.getLogger("metaspec")


def recorded(flat: Callable[..., Any], arrays: Sequence[Array]) -> GraphModule:
    """The operations that `flat` performs, without the transforms and the Python between them.

    It needs no compiler and a second or two.

    Raises:
        MutationError: `flat` wrote to its arguments.
    """
    examples = [x.detach().clone() for x in arrays]  # one tensor given twice would become one input
    graph = make_fx(flat)(*examples)
    if any(x._version for x in examples):
        raise MutationError("compile: the function changes its arguments in place; write x + 1, not x += 1")
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


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
        return torch.no_grad()(graph)
    LOG.warning("compile: PyTorch compiles %d operations; this may take a minute or two", len(graph.graph.nodes))
    from torch import _inductor  # a second or two

    start = time.perf_counter()
    with torch.no_grad():
        native = _inductor.compile(graph, list(arrays))
    LOG.warning("compile: done in %.0f s", time.perf_counter() - start)
    return torch.no_grad()(native)


def _has_cpp_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
