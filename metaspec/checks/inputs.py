"""Checks of the arrays that come in from outside: parameters, tasks and batches of tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.registry import owner_of
from metaspec.errors import BackendMismatchError, InvalidArgumentError, InvalidTypeError
from metaspec.task import Task, Tree


def check_params(B: Backend, params: Tree) -> None:
    """Check that `params` is a tree with at least one leaf, every leaf a floating array of this backend."""
    if not B.tree_flatten(params)[0]:
        raise InvalidArgumentError("params: the tree has no leaves; expected at least one floating array")
    for name, leaf in _named(B, params, "params"):
        _check_owner(B, leaf, name)
        dtype = B.dtype_name(leaf)
        if not is_floating(dtype):
            raise InvalidTypeError(
                f"{name}: parameters must be real floating arrays, got dtype {dtype}; convert it, or move what "
                "is not to be differentiated into the batch"
            )


def check_data(B: Backend, batch: Tree, what: str) -> None:
    """Check that every leaf of `batch` is an array of this backend or a Python number."""
    for name, leaf in _named(B, batch, what):
        if not isinstance(leaf, bool | int | float):
            _check_owner(B, leaf, name)


def check_foreign(B: Backend, tree: Tree, what: str) -> None:
    """Check that no leaf is another framework's array; what is no array at all is let through."""
    for name, leaf in _named(B, tree, what):
        if not B.is_array(leaf) and owner_of(leaf) is not None:
            _check_owner(B, leaf, name)


def check_task(B: Backend, task: Any) -> None:
    """Check that `task` is a Task of this backend's arrays."""
    if not isinstance(task, Task):
        raise InvalidTypeError(f"task: expected metaspec.Task(support, query), got {type(task).__name__}")
    check_data(B, task.support, "task.support")
    check_data(B, task.query, "task.query")


def check_stacked(B: Backend, tasks: Task) -> int:
    """Return the number of tasks of a stacked batch: the length of axis 0, the same in every leaf and at least 1."""
    named = (*_named(B, tasks.support, "tasks.support"), *_named(B, tasks.query, "tasks.query"))
    shapes = [(name, tuple(getattr(leaf, "shape", ()))) for name, leaf in named]
    if not shapes:
        raise InvalidArgumentError("tasks: no leaves in support or query; expected arrays stacked along axis 0")
    for name, shape in shapes:
        if not shape:
            raise InvalidArgumentError(f"{name}: a stacked batch needs an axis over tasks in every leaf, got a scalar")
    count = int(shapes[0][1][0])
    if any(shape[0] != count for _, shape in shapes):
        raise InvalidArgumentError(
            "tasks: leaves of a stacked batch must agree in axis 0, the number of tasks; got "
            + ", ".join(f"{name}: {shape[0]}" for name, shape in shapes)
            + ". Tasks of unequal size go in as a sequence of Task"
        )
    if count == 0:
        raise InvalidArgumentError("tasks: zero tasks; expected at least one")
    return count


def check_sequence(tasks: Any) -> Sequence[Task]:
    """Return `tasks`, checked to be a non-empty sequence of Task."""
    if not isinstance(tasks, Sequence) or isinstance(tasks, str):
        raise InvalidTypeError(
            f"tasks: expected a Task with leaves stacked on axis 0, or a sequence of Task, got {type(tasks).__name__}"
        )
    if not tasks:
        raise InvalidArgumentError("tasks: zero tasks; expected at least one")
    for i, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise InvalidTypeError(f"tasks[{i}]: expected metaspec.Task(support, query), got {type(task).__name__}")
    return tasks


@dataclass(frozen=True)
class _LeafName:
    """A leaf's name, worked out only when a message needs it."""

    backend: Backend
    tree: Tree
    what: str
    index: int

    def __str__(self) -> str:
        return self.what + self.backend.tree_paths(self.tree)[self.index].removeprefix("root")


def _named(B: Backend, tree: Tree, what: str) -> Iterator[tuple[_LeafName, Any]]:
    for i, leaf in enumerate(B.tree_flatten(tree)[0]):
        yield _LeafName(B, tree, what, i), leaf


def _check_owner(B: Backend, leaf: Any, where: _LeafName) -> None:
    if B.is_array(leaf):
        return
    owner = owner_of(leaf)
    if owner is None:
        raise InvalidTypeError(
            f"{where}: expected an array of backend {B.name!r}, got {leaf!r:.80} of type {type(leaf).__name__}; "
            f"convert the tree with metaspec.asarray(tree, backend={B.name!r})"
        )
    if owner == B.name:
        raise InvalidTypeError(
            f"{where}: expected an array of backend {B.name!r}, got {type(leaf).__name__}, which is none; a model goes "
            "in as the tree of its parameters, see the examples"
        )
    raise BackendMismatchError(
        f"{where}: the backend is {B.name!r}, but this is an array of {owner!r} ({type(leaf).__name__}); choose "
        f"backend={owner!r}, or convert the tree with metaspec.asarray(tree, backend={B.name!r})"
    )
