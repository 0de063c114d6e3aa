r"""Tasks from one table of numbers: predict one of its columns from some of the others, given a few rows.

    task (c, m, s, R):  x = m * row,  y = s row[c],   m_c = 0,  other m_j = 0 or 1,  s = -1 or 1,  rows R at random

Were the other columns all to be seen, a network would know the task from the one that is missing, and learn the answers
of meta-training by heart in place of learning to adapt; with m and s drawn for each task only the support set tells.

Sources: tasks made of a table's own columns: Nam et al., "STUNT: few-shot tabular learning with self-generated tasks
from unlabeled tables", ICLR 2023, there for classification; tasks that must not be told apart by their inputs: Yin et
al., "Meta-learning without memorization", ICLR 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaspec.checks.optional_libraries import optional_library
from metaspec.data._check import check_drawing, check_int
from metaspec.data._random import partial_shuffle, uniforms
from metaspec.data.source import batch_indices, only, task_indices
from metaspec.errors import InvalidArgumentError
from metaspec.task import Task

SEEN = 0.5  # the probability that a column that is not asked for is seen
TEST_SHARE = 3  # every third column is a target of meta-test, every third row one of its rows


@dataclass(frozen=True, eq=False)
class TableColumns:
    """A task source: each task asks for one column of a table.

    Leaves of a task: support x [shots, D] and y [shots, 1], query x [queries, D] and y [queries, 1]; of a batch: a
    leading axis over tasks.

    Args:
        table: finite numbers [rows, D].
        targets: the columns that tasks ask for.
        shots: rows in the support set.
        queries: rows in the query set.
        seed: names the family of tasks, 0 <= seed < 2^64.
        stream: "train", "validation" or "test": disjoint streams of random numbers under one seed.
        dtype: "float32" or "float64".

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument; also where there are fewer rows than
            shots + queries.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> table = np.random.default_rng(0).normal(size=(30, 4))
        >>> task = data.TableColumns(table, targets=(1,), shots=5, queries=10).task(0)
        >>> task.support["x"].shape, task.query["y"].shape, float(abs(task.query["x"][:, 1]).max())
        ((5, 4), (10, 1), 0.0)
    """

    table: NDArray[np.floating]
    targets: Sequence[int]
    shots: int = 10
    queries: int = 10
    seed: int = 0
    stream: str = "train"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        table = np.asarray(self.table, dtype=np.float64)
        if table.ndim != 2 or not np.isfinite(table).all():
            raise InvalidArgumentError(f"table: expected finite numbers [rows, columns], got shape {list(table.shape)}")
        check_drawing(self, "shots", "queries")
        targets = tuple(check_int(f"targets[{i}]", c, 0, table.shape[1] - 1) for i, c in enumerate(self.targets))
        if not targets:
            raise InvalidArgumentError("targets: expected at least one column, got none")
        if len(table) < self.shots + self.queries:
            raise InvalidArgumentError(
                f"shots, queries: expected a sum of at most {len(table)}, the rows of the table, got "
                f"{self.shots + self.queries}"
            )
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "targets", targets)

    def task(self, index: int) -> Task:
        """Returns task number `index`; the same bits on every call, in every process."""
        return only(self._stack(task_indices(index)))

    def batch(self, step: int, size: int) -> Task:
        """Returns the tasks step * size, ..., step * size + size - 1, stacked along axis 0."""
        return self._stack(batch_indices(step, size))

    def _stack(self, indices: range) -> Task:
        width = self.table.shape[1]
        u = uniforms(self.seed, self.stream, indices, 2 + width + self.shots + self.queries)
        columns = np.array(self.targets)[(u[:, 0] * len(self.targets)).astype(np.int64)][:, None, None]
        signs = np.where(u[:, 1] < 0.5, -1.0, 1.0)[:, None, None]
        seen = (u[:, None, 2 : 2 + width] < SEEN) & (np.arange(width) != columns)
        rows = self.table[partial_shuffle(u[:, 2 + width :], np.full(len(indices), len(self.table)))]
        y = (signs * np.take_along_axis(rows, columns, axis=2)).astype(self.dtype)
        x = np.where(seen, rows, 0.0).astype(self.dtype)
        parts = slice(None, self.shots), slice(self.shots, None)
        return Task(*({"x": x[:, part], "y": y[:, part]} for part in parts))


def tumour_tasks(
    *, shots: int = 10, queries: int = 10, seed: int = 0, dtype: str = "float32"
) -> tuple[TableColumns, TableColumns]:
    """Returns the sources of meta-training and meta-test tasks of scikit-learn's breast-cancer table.

    569 cell nuclei with 30 measurements: ten quantities, of each the mean, the standard error and the worst. Columns
    have mean 0 and variance 1 over the rows of meta-training, so that 1 is the error of predicting the mean. Targets of
    meta-test are three or four of each ten (every third column), on rows that meta-training does not see.

    Args:
        shots: as `TableColumns`'.
        queries: as `TableColumns`'.
        seed: as `TableColumns`'.
        dtype: as `TableColumns`'.

    Raises:
        InvalidArgumentError, InvalidTypeError: as `TableColumns`.
        LibraryMissingError: scikit-learn is not installed.

    Source: Street, Wolberg, Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993, as scikit-learn
    distributes it.

    Example:
        >>> from metaspec import data
        >>> train, test = data.tumour_tasks()
        >>> train.task(0).support["x"].shape, set(train.targets) & set(test.targets)
        ((10, 30), set())
    """
    sets = optional_library("sklearn.datasets", "tumour_tasks", extra="digits", library="scikit-learn")
    table = sets.load_breast_cancer().data
    held_out = np.arange(len(table)) % TEST_SHARE == 0
    seen = table[~held_out]
    table = (table - seen.mean(axis=0)) / seen.std(axis=0)
    columns = np.arange(table.shape[1])
    test = columns % TEST_SHARE == 0
    return (
        TableColumns(table[~held_out], columns[~test].tolist(), shots, queries, seed, "train", dtype),
        TableColumns(table[held_out], columns[test].tolist(), shots, queries, seed, "test", dtype),
    )
