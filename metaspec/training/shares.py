"""A rank's share of the tasks of a step: by their numbers, so that no process hands data to another."""

from dataclasses import dataclass
from typing import Any

import numpy
import optree

from metaspec.backend.protocol import NAMESPACE
from metaspec.backend.selection import plain_leaves
from metaspec.data.source import TaskSource
from metaspec.ranks import RankGroup
from metaspec.task import Task


def share(source: TaskSource, first: int, size: int, ranks: RankGroup) -> tuple[TaskSource, int]:
    """Return the source of this rank's tasks of each step, and their number; one rank's is the source itself.

    Equal shares are whole batches, in the numbering of batches of their size, which makes no task in vain. That a
    source keeps to this numbering is seen on the step `first`; of another one every rank makes the whole batch.
    """
    if ranks.count == 1:
        return source, size
    start, stop = (size * r // ranks.count for r in (ranks.index, ranks.index + 1))
    part = _Share(source, size, start, stop, ranks, whole=True)
    if size % ranks.count == 0:
        direct = _Share(source, size, start, stop, ranks, whole=False)
        pairs = zip(*(plain_leaves(s.batch(first, stop - start)) for s in (part, direct)), strict=True)
        if all(numpy.array_equal(x, y) for x, y in pairs):
            part = direct
    return part, stop - start


@dataclass(frozen=True)
class _Share:
    source: TaskSource
    size: int
    start: int
    stop: int
    ranks: RankGroup
    whole: bool

    def task(self, index: int) -> Task:
        step, place = divmod(index, self.stop - self.start)
        return self.source.task(step * self.size + self.start + place)

    def batch(self, step: int, size: int) -> Task:
        if not self.whole:
            return self.source.batch(step * self.ranks.count + self.ranks.index, size)
        tasks: Any = self.source.batch(step, self.size)
        part: Any = optree.tree_map(lambda leaf: leaf[self.start : self.stop], tasks, namespace=NAMESPACE)
        return part
