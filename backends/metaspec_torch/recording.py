"""Functions of tensors as recordings of the operations that they perform.

A recording has no transforms and no Python left. Where a loss is not vectorised, one task's operations are recorded
once, as a module of their own, which the recording calls for every task.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError, MutationError
from metaspec.task import Array, Tree
from metaspec_torch._private import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    TracingContext,
    UnsupportedOperatorException,
    called_in_recording,
    is_recorded,
    recorded_apart,
    stand_in,
    tracing,
    under_functorch,
    unset_fake_temporarily,
)
from metaspec_torch.simplifying import simplify, writes_to_an_argument
from metaspec_torch.task_losses import CAN_BE_TRIED, UntriedError

LOG = logging.getLogger("metaspec")
VALUES = (
    "compile: the function looks at the values of its arguments, or makes a tensor whose shape depends on them ({}); a "
    "recording would keep those of the first call. Choose with torch.where(condition, a, b) in place of `if`, write "
    "torch.where(mask, x, 0) in place of x[mask], and keep arithmetic in tensors in place of .item(), .tolist() and "
    ".numpy(); or leave the function uncompiled"
)
NOT_OF_STAND_INS = (".numpy() is not supported for tensor subclasses", "trying to get value out of a tracing tensor")
_TASKS: ContextVar[dict[Any, Any] | None] = ContextVar("metaspec_torch_recorded_tasks", default=None)
"""What was recorded of one task within the recording at work; None: each task is recorded by itself."""
_TRYING: ContextVar[bool] = ContextVar("metaspec_torch_trying", default=False)
"""Whether a function runs for what is found out about its losses; its results are not used."""


class OneTask(NamedTuple):
    """One task's operations, which the recording around them calls for every task.

    Attributes:
        name: The module's name there.
        module: The operations.
        around: What they read beside the task's own: tensors of the recording around them.
        results: Stand-ins of their results, or results that are no tensors.
        structure: The results' tree.
    """

    name: str
    module: GraphModule
    around: list[Array]
    results: list[Any]
    structure: Any


def recorded(flat: Callable[..., Any], arrays: Sequence[Array]) -> GraphModule:
    """The operations that `flat` performs, without the transforms and the Python between them.

    It needs no compiler and a second or two. `flat` runs on stand-ins without values, so that it can look at none.
    The operations of a task that `in_turn` computes are recorded once, in a module of their own.

    Raises:
        MutationError: `flat` wrote to its arguments.
        InvalidTypeError: `flat` looked at values of its arguments, or made a tensor whose shape depends on them.
    """
    # In the context, as `make_fx` would make another for each tensor that follows from no argument.
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with torch.inference_mode(False), tracing(TracingContext(mode)), _unlogged():
        # One tensor given twice would become one input, so each has a stand-in of its own.
        examples = [stand_in(x, mode) for x in arrays]
        try:
            graph = _recorded_once_tried(flat, arrays, examples)
        except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException) as error:
            raise InvalidTypeError(VALUES.format(error)) from error
        except RuntimeError as error:
            if not any(words in str(error) for words in NOT_OF_STAND_INS):
                raise
            raise InvalidTypeError(VALUES.format(str(error).splitlines()[0])) from error
    return _tidied(graph, examples)


def in_turn(B: Backend, f: Callable[..., Tree], structure: Any, rows: Sequence[Sequence[Array]]) -> list[Tree]:
    """f of the tree of each row, recorded once where a recording is at work and no derivative is taken around it."""
    task = _recorded_task(B, f, structure, rows[0])
    if task is not None and not (torch.is_grad_enabled() and any(x.requires_grad for x in [*rows[0], *task.around])):
        calls = (called_in_recording(task.name, task.module, [*row, *task.around], task.results) for row in rows)
        return [B.tree_unflatten(task.structure, results) for results in calls]
    if _TRYING.get():
        return [f(*B.tree_unflatten(structure, rows[0]))] * len(rows)
    return [f(*B.tree_unflatten(structure, row)) for row in rows]


def _recorded_task(B: Backend, f: Callable[..., Tree], structure: Any, row: Sequence[Array]) -> OneTask | None:
    tasks = _TASKS.get()
    if tasks is None or under_functorch() or not all(isinstance(x, FakeTensor) for x in row):
        return None
    key = (f, structure, *((x.shape, x.stride(), x.dtype, x.device) for x in row))
    if key not in tasks:
        tasks[key] = _one_task(B, f, structure, row, f"task{len(tasks)}")
    return tasks[key]


def _one_task(B: Backend, f: Callable[..., Tree], structure: Any, row: Sequence[Array], name: str) -> OneTask:
    """Record f of one task, as a module for the recording at work."""
    flat, out = B.flat_function(f, structure)
    results: list[Any] = []

    def kept(*leaves: Array) -> Sequence[Array]:
        results[:] = flat(*leaves)
        return tuple(results)

    with _set(_TASKS, None):  # a task within would read tensors of two recordings around it
        graph, examples = recorded_apart(kept, row)
    around = _with_arguments_of_its_own(graph)
    return OneTask(name, _tidied(graph, examples), around, results, out[0])


def _with_arguments_of_its_own(graph: GraphModule) -> list[Array]:
    """Make arguments of the tensors that `graph` takes from the recording at work, and return these."""
    arguments: dict[int, tuple[Array, Node]] = {}
    last = graph.graph.find_nodes(op="placeholder")[-1]
    for node in graph.graph.find_nodes(op="get_attr"):
        x = getattr(graph, node.target)
        if not is_recorded(x):
            continue
        if id(x) not in arguments:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"around{len(arguments)}")
            last.meta["val"] = x
            arguments[id(x)] = x, last
        node.replace_all_uses_with(arguments[id(x)][1])
        graph.graph.erase_node(node)
    return [x for x, _ in arguments.values()]


def _tidied(graph: GraphModule, examples: Sequence[Array]) -> GraphModule:
    constants = [getattr(graph, node.target, None) for node in graph.graph.nodes if node.op == "get_attr"]
    if any(isinstance(x, FakeTensor) for x in constants):
        raise InvalidTypeError(
            "compile: the function makes a tensor of its arguments which a recording loses (torch.nn.Parameter "
            "of a computed tensor does); compute with the tensor itself, or leave the function uncompiled"
        )
    if any(x._version for x in examples) or writes_to_an_argument(graph):  # .data has no version
        raise MutationError("compile: the function changes its arguments in place; write x + 1, not x += 1")
    simplify(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _recorded_once_tried(flat: Callable[..., Any], arrays: Sequence[Array], examples: Sequence[Array]) -> GraphModule:
    """Record `flat` on stand-ins; first run it on values where it has a loss of which nothing is known yet."""
    with _set(CAN_BE_TRIED, True), suppress(UntriedError), _set(_TASKS, {}):
        return make_fx(flat)(*examples)
    with unset_fake_temporarily(), suppress(Exception), _set(_TRYING, True):  # what it raises, the recording raises too
        flat(*arrays)
    with _set(_TASKS, {}):
        return make_fx(flat)(*examples)


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep PyTorch from logging the traceback of what an operation on stand-ins raises: it is raised as well."""
    log = logging.getLogger(FakeTensorMode.__module__)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
