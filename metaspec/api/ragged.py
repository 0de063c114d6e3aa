"""Sequences of tasks of unequal sizes under `compile`: one program for each size, not for each order of sizes.

A compiler makes a program for the shapes of all arguments together, and random tasks hardly ever come in the same sizes
in the same order twice. So a function that is called with such a sequence is not compiled as a whole: it runs as it
is, and each `batch_meta_gradient` in it calls, task by task, a compiled program of one task: one for each size.

That holds while the function calls `batch_meta_gradient` with the same algorithm and loss each time. Where it makes
them anew at every call (a lambda within it, which may read its other arguments) nothing could be used again: it is then
compiled as a whole.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.task import Task, Tree

Program = Callable[..., Tree]


class TaskPrograms:
    """Compiled programs of one task each, of one function that `compile` was given.

    Attributes:
        reusable: Whether each call of the function has asked for the programs that the first one made.
    """

    def __init__(self, compiled: Callable[[Program], Program]) -> None:
        self._compiled = compiled
        self._programs: dict[Any, Program] = {}
        self._complete = False
        self.reusable = True

    def program(self, key: tuple[Any, ...], make: Callable[[], Program]) -> Program:
        """Return the program of this algorithm and loss; `make` gives what it is compiled from."""
        try:
            known = self._programs.get(key)
        except TypeError:  # an algorithm that holds arrays
            key = tuple(map(id, key))
            known = self._programs.get(key)
        if known is None:
            self.reusable = self.reusable and not self._complete
            known = self._programs[key] = self._compiled(make())
        return known

    def run(self, f: Callable[..., Tree], args: Tree) -> Tree:
        """Call f with these programs at hand."""
        token = at_work.set(self)
        try:
            return f(*args)
        finally:
            at_work.reset(token)
            self._complete = True


at_work: ContextVar[TaskPrograms | None] = ContextVar("metaspec_task_programs", default=None)
"""The programs of the compiled function that is being called with tasks of unequal sizes."""


def is_ragged(B: Backend, args: Tree) -> bool:
    """Whether one of the arguments is a sequence of tasks, of concrete arrays, that differ in size."""
    sequences = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], Task)]
    if not sequences or not all(B.is_concrete(leaf) for leaf in B.tree_flatten(args)[0] if B.is_array(leaf)):
        return False
    return any(not of_one_size(B, tasks) for tasks in sequences)


def of_one_size(B: Backend, tasks: Any) -> bool:
    """Whether tasks have one structure, and arrays of equal shapes and dtypes alone."""

    def sizes(task: Task) -> tuple[Any, list[Any]]:
        leaves, structure = B.tree_flatten(task)
        return structure, [(tuple(leaf.shape), B.dtype_name(leaf)) if B.is_array(leaf) else None for leaf in leaves]

    first = sizes(tasks[0])
    return None not in first[1] and all(sizes(task) == first for task in tasks[1:])
