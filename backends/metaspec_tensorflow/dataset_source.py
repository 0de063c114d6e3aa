"""`tf.data.Dataset`s as sources of tasks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from metaspec.data.source import batch_indices, task_indices
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Task


class DatasetTasks:
    """Tasks from a `tf.data.Dataset` whose elements are pairs (support, query) of trees, for `meta_train` and others.

    Task number i is element i, counted through the dataset again and again. Batches that are asked for in their order
    are read on; any other one is reached by skipping from the start. A training that resumes ends with the same bits
    where the dataset gives the same elements each time: `shuffle` with a seed and `reshuffle_each_iteration=False`.

    Attributes:
        dataset: The dataset, of one task an element, each of the same shapes.

    Raises:
        InvalidTypeError: `dataset` is no tf.data.Dataset.
        InvalidArgumentError: Its elements are no pairs, or it has none.

    Example:
        >>> import tensorflow as tf
        >>> from metaspec_tensorflow.dataset_source import DatasetTasks
        >>> part = {"x": tf.ones((10, 5, 2)), "y": tf.ones((10, 5))}
        >>> tasks = DatasetTasks(tf.data.Dataset.from_tensor_slices((part, part)))
        >>> tasks.batch(step=0, size=4).support["x"].shape
        (4, 5, 2)
    """

    def __init__(self, dataset: Any) -> None:
        if not isinstance(dataset, tf.data.Dataset):
            raise InvalidTypeError(f"DatasetTasks: expected a tf.data.Dataset, got {type(dataset).__name__}")
        spec = dataset.element_spec
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise InvalidArgumentError(
                "DatasetTasks: expected elements (support, query), each a tree of arrays; map the dataset to such "
                f"pairs (dataset.map), its elements are {spec!r:.200}"
            )
        if dataset.cardinality() == 0:
            raise InvalidArgumentError("DatasetTasks: the dataset has no elements")
        self.dataset = dataset
        self._next = 0
        self._elements: Iterator[Any] | None = None

    def task(self, index: int) -> Task:
        """Return task number `index` as NumPy arrays; batches that are read meanwhile go on where they were."""
        (wanted,) = task_indices(index)
        return Task(*next(self._from(wanted)))

    def batch(self, step: int, size: int) -> Task:
        """Return the stacked tasks of meta-training step number `step`."""
        wanted = batch_indices(step, size)
        if self._elements is None or self._next != wanted.start:
            self._elements = self._from(wanted.start)
        try:
            tasks = [Task(*next(self._elements)) for _ in wanted]
        except StopIteration:
            raise InvalidArgumentError("DatasetTasks: the dataset has no elements") from None
        self._next = wanted.stop
        return _stacked(tasks)

    def _from(self, first: int) -> Iterator[Any]:
        return iter(self.dataset.repeat().skip(first).as_numpy_iterator())


def _stacked(tasks: list[Task]) -> Task:
    def stack(*leaves: Any) -> Any:
        shapes = sorted({np.shape(leaf) for leaf in leaves})
        if len(shapes) > 1:
            raise InvalidArgumentError(
                f"DatasetTasks: tasks of one batch need equal shapes to be stacked, got {shapes}; pad them, or hand "
                "batch_meta_gradient a list of tasks"
            )
        return np.stack(leaves)

    return tf.nest.map_structure(stack, *tasks)
