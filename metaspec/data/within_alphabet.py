r"""One-shot classification within an alphabet, as Omniglot's authors judge it.

An episode is one alphabet, `ways` of its characters, and shots + queries of its drawers: the support set is what the
first `shots` drawers made of these characters, the query set what the others made. Characters of one alphabet resemble
each other more than those of many, and no drawer's hand tells the class, so this is harder than `FewShot` on the same
pictures.

Source: Lake, Salakhutdinov, Tenenbaum 2015 (20 ways, one drawer against another). Their 20 published episodes were
chosen for their drawers; here all are drawn.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import check_drawing
from metaspec.data._random import partial_shuffle, uniforms
from metaspec.data.images import LabelledImages, as_floating
from metaspec.data.source import batch_indices, only, task_indices
from metaspec.errors import InvalidArgumentError
from metaspec.task import Task


@dataclass(frozen=True, eq=False)
class WithinAlphabet:
    """A task source: each task is one episode within one alphabet.

    Leaves of a task: support x [shots * ways, H, W] in [0, 1] for uint8 pictures, y [shots * ways]; query likewise with
    `queries`; of a batch: a leading axis over tasks. Examples run through the classes in turn, a drawer after another.

    Args:
        data: the pictures, as many of each class, the k-th of a class by drawer k; names "Alphabet/character".
        ways: characters in an episode; alphabets that have fewer are left out.
        shots: drawers of the support set.
        queries: drawers of the query set.
        seed: names the family of tasks, 0 <= seed < 2^64.
        stream: "train", "validation" or "test": disjoint streams of random numbers under one seed.
        dtype: of x, "float32" or "float64".
        label_dtype: of y, "int32" or "int64".

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument; also where no alphabet has `ways` characters, or
            there are fewer drawers than shots + queries.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> names = tuple(f"Alphabet{i // 4}/character{i % 4}" for i in range(8))
        >>> pictures = data.LabelledImages(np.zeros((40, 4, 4), dtype="uint8"), np.repeat(np.arange(8), 5), names)
        >>> data.WithinAlphabet(pictures, ways=4).task(0).query["y"].tolist()
        [0, 1, 2, 3]
    """

    data: LabelledImages
    ways: int = 20
    shots: int = 1
    queries: int = 1
    seed: int = 0
    stream: str = "test"
    dtype: str = "float32"
    label_dtype: str = "int32"
    _alphabets: list[NDArray[np.int64]] = field(init=False, repr=False)  # positions of pictures [characters, drawers]

    def __post_init__(self) -> None:
        check_drawing(self, "ways", "shots", "queries")
        counts = np.unique(self.data.labels, return_counts=True)[1]
        if not self.data.names or len(set(counts.tolist())) != 1 or counts[0] < self.shots + self.queries:
            raise InvalidArgumentError(
                "data: expected classes named Alphabet/character, all of as many pictures, one for each drawer and at "
                f"least shots + queries = {self.shots + self.queries}; got {len(self.data.names)} names and "
                f"{counts.min()} to {counts.max()} pictures"
            )
        order = np.argsort(self.data.labels, kind="stable").reshape(len(counts), -1)
        alphabets = np.array([name.partition("/")[0] for name in self.data.names])
        found = [order[alphabets == name] for name in np.unique(alphabets)]
        large = [positions for positions in found if len(positions) >= self.ways]
        if not large:
            raise InvalidArgumentError(
                f"ways: expected at most {max(map(len, found))}, the most that an alphabet has, got {self.ways}"
            )
        object.__setattr__(self, "_alphabets", large)

    def task(self, index: int) -> Task:
        """Returns episode number `index`; the same bits on every call, in every process."""
        return only(self._stack(task_indices(index)))

    def batch(self, step: int, size: int) -> Task:
        """Returns the episodes step * size, ..., step * size + size - 1, stacked along axis 0."""
        return self._stack(batch_indices(step, size))

    def members(self, index: int) -> NDArray[np.int64]:
        """Returns the positions in `data` of the pictures of episode number `index`, [shots + queries, ways]."""
        return self._members(uniforms(self.seed, self.stream, task_indices(index), self._draws)[0])

    @property
    def _draws(self) -> int:
        return 1 + self.ways + self.shots + self.queries

    def _members(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        positions = self._alphabets[int(u[0] * len(self._alphabets))]
        characters = partial_shuffle(u[None, 1 : 1 + self.ways], np.array([len(positions)]))[0]
        drawers = partial_shuffle(u[None, 1 + self.ways :], np.array([positions.shape[1]]))[0]
        return positions[characters][:, drawers].T

    def _stack(self, indices: range) -> Task:
        u = uniforms(self.seed, self.stream, indices, self._draws)
        pictures = self.data.images[np.stack([self._members(row) for row in u])]
        return Task(self._part(pictures[:, : self.shots]), self._part(pictures[:, self.shots :]))

    def _part(self, pictures: NDArray[Any]) -> dict[str, NDArray[Any]]:
        tasks, each = pictures.shape[:2]
        x = as_floating(pictures, self.dtype).reshape(tasks, each * self.ways, *pictures.shape[3:])
        return {"x": x, "y": np.tile(np.arange(self.ways, dtype=self.label_dtype), (tasks, each))}
