"""What meta-training asks of a source of tasks, and what the sources here have in common."""

from typing import Protocol, runtime_checkable

from metaspec.data._check import LARGEST_INDEX, check_int
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Task


@runtime_checkable
class TaskSource(Protocol):
    """An endless, indexed family of tasks. Both methods are pure, so a run resumes from its step number alone.

    `batch(step, size)` stacks the tasks step * size, ..., step * size + size - 1 along a new leading axis of each leaf.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> class Lines:
        ...     # y = a x, the slope a drawn for each task
        ...     def task(self, index):
        ...         rng = np.random.default_rng(index)
        ...         slope, x = rng.normal(), rng.normal(size=(2, 5, 1))
        ...         return ms.Task(*({"x": part, "y": slope * part} for part in x))
        ...     def batch(self, step, size):
        ...         tasks = [self.task(step * size + i) for i in range(size)]
        ...         return ms.Task(*({k: np.stack([t[i][k] for t in tasks]) for k in ("x", "y")} for i in (0, 1)))
        >>> isinstance(Lines(), ms.data.TaskSource), Lines().batch(0, 3).query["y"].shape
        (True, (3, 5, 1))
    """

    def task(self, index: int) -> Task:
        """Returns task number `index` (0, 1, ...): support and query, each {"x": ..., "y": ...} of NumPy arrays."""
        ...

    def batch(self, step: int, size: int) -> Task:
        """Returns the stacked tasks of meta-training step number `step` (0, 1, ...)."""
        ...


@runtime_checkable
class ManyBatches(Protocol):
    """A task source that draws the tasks of many steps at once, in less time than one step after the other."""

    def batches(self, first: int, count: int, size: int) -> list[Task]:
        """Returns `batch(step, size)` of the steps first, ..., first + count - 1, to the bit."""
        ...


def check_source(source: object, argument: str) -> None:
    """Raises InvalidTypeError where `source` is no TaskSource."""
    if isinstance(source, type) or not isinstance(source, TaskSource):
        given = source.__name__ if isinstance(source, type) else type(source).__name__
        raise InvalidTypeError(f"{argument} needs task(index) and batch(step, size), got {given}")


def task_indices(index: int) -> range:
    index = check_int("index", index, 0)
    return range(index, index + 1)


def batch_indices(step: int, size: int) -> range:
    step, size = check_int("step", step, 0), check_int("size", size, 1)
    if (step + 1) * size - 1 > LARGEST_INDEX:
        raise InvalidArgumentError(f"step: expected task indices below 2^64, got step {step} of size {size}")
    return range(step * size, (step + 1) * size)


def block_indices(first: int, count: int, size: int) -> range:
    count = check_int("count", count, 1)
    return range(batch_indices(first, size).start, batch_indices(first + count - 1, size).stop)


def divided(stacked: Task, size: int) -> list[Task]:
    """Cuts a stack into stacks of `size` tasks."""
    pieces = [[leaf.reshape(-1, size, *leaf.shape[1:]) for leaf in part.values()] for part in stacked]
    return [
        Task(*(dict(zip(part, row, strict=True)) for part, row in zip(stacked, rows, strict=True)))
        for rows in zip(*(zip(*leaves, strict=True) for leaves in pieces), strict=True)
    ]


def only(stacked: Task) -> Task:
    """Takes the one task out of a stack of one."""
    return Task(*({name: leaf[0] for name, leaf in part.items()} for part in stacked))
