r"""N-way K-shot classification episodes from labelled pictures.

An episode is `ways` distinct classes, relabelled 0..ways-1 in random order, and of each class shots + queries distinct
pictures: the first `shots` are the support set, the rest the query set, so the two are disjoint. With rotations, the
classes are the pairs (class, rotation): 136 characters and four rotations are 544 classes, any two of which may meet in
one episode.

Sources: Vinyals et al., "Matching networks for one shot learning", NeurIPS 2016; rotations as new classes: Santoro et
al., "Meta-learning with memory-augmented neural networks", ICML 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import LARGEST_INDEX, check_choice, check_drawing, check_int
from metaspec.data._random import partial_shuffle, uniforms
from metaspec.data.images import LabelledImages, as_floating, rotated
from metaspec.data.source import batch_indices, only, task_indices
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Task

QUARTER_TURNS = (0, 90, 180, 270)
# Episodes drawn at once where one batch follows the other: a fifth of the time where classes are few, four fifths with
# thousands. Which pictures they are made of, and not the pictures: those of many batches would fill the memory.
AHEAD = 256


@dataclass(frozen=True, eq=False)
class FewShot:
    """A task source: each task is one episode.

    Leaves of a task: support x [ways * shots, *picture] in [0, 1] for uint8 pictures, y [ways * shots]; query likewise
    with `queries`; of a batch: a leading axis over tasks. A picture is as the data has it, [H, W] or [H, W, C], unless
    `channels` says where its axis of channels goes, which grey pictures get too. Examples run through the
    classes in turn, y = 0, 1, .., ways - 1, 0, 1, ..: any `ways` consecutive examples from a multiple of `ways` hold
    each class once, so that mini-batches are balanced.

    Args:
        data: the pictures, of meta-train or of meta-test classes.
        ways: classes in an episode.
        shots: support examples of each class.
        queries: query examples of each class.
        seed: names the family of tasks, 0 <= seed < 2^64.
        stream: "train", "validation" or "test": disjoint streams of random numbers under one seed.
        dtype: of x, "float32" or "float64".
        label_dtype: of y, "int32" or "int64", which `torch.nn.functional.cross_entropy` takes.
        channels: "first", [C, H, W], as `torch.nn.Conv2d` takes pictures; "last", [H, W, C], as Flax, Keras and
            `metaspec.nn` do; None: as the data has them.
        rotations: degrees, counterclockwise, out of 0, 90, 180, 270; each makes a new class of every class. Other than
            (0,) for the stream "train" alone.

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument; also where there are fewer classes than `ways`, or
            a class has fewer pictures than shots + queries.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> pictures = np.random.default_rng(0).integers(0, 256, size=(60, 4, 4), dtype=np.uint8)
        >>> source = data.FewShot(data.LabelledImages(pictures, np.arange(60) % 3), ways=2, shots=1, queries=3)
        >>> source.task(0).query["y"].tolist()
        [0, 1, 0, 1, 0, 1]
        >>> data.FewShot(source.data, ways=2, channels="first", queries=3).task(0).query["x"].shape
        (6, 1, 4, 4)
    """

    data: LabelledImages
    ways: int = 5
    shots: int = 1
    queries: int = 15
    seed: int = 0
    stream: str = "train"
    dtype: str = "float32"
    label_dtype: str = "int32"
    rotations: tuple[int, ...] = (0,)
    channels: str | None = None
    _drawn: tuple[int, int, Any] = field(init=False, repr=False, default=(0, 0, None))  # the first, the end, members
    _asked: int = field(init=False, repr=False, default=0)  # the end of what was asked for last

    def __post_init__(self) -> None:
        if not isinstance(self.data, LabelledImages):
            raise InvalidTypeError(f"data: expected LabelledImages, got {type(self.data).__name__}")
        check_drawing(self, "ways", "shots", "queries")
        _check_channels(self.channels, self.data)
        object.__setattr__(self, "rotations", _check_rotations(self.rotations, self.stream, self.data))
        _check_supply(self.data, self.ways, self.shots + self.queries, len(self.rotations))

    @property
    def class_count(self) -> int:
        """The number of classes that episodes draw from, rotations counted as classes."""
        return len(self._counts) * len(self.rotations)

    def task(self, index: int) -> Task:
        """Returns episode number `index`; the same bits on every call, in every process."""
        return only(self._stack(task_indices(index)))

    def batch(self, step: int, size: int) -> Task:
        """Returns the episodes step * size, ..., step * size + size - 1, stacked along axis 0."""
        return self._stack(batch_indices(step, size))

    def members(self, indices: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Says which pictures the episodes `indices` are made of, support examples first.

        Returns:
            Positions in `data.images` and counterclockwise quarter turns, each [len(indices), shots + queries, ways].
        """
        each = self.shots + self.queries
        u = uniforms(self.seed, self.stream, indices, self.ways * (1 + each))
        drawn = partial_shuffle(u[:, : self.ways], np.full(len(indices), self.class_count))
        turn, kind = np.divmod(drawn, len(self._counts))
        picks = partial_shuffle(u[:, self.ways :].reshape(-1, each), self._counts[kind].ravel())
        positions: NDArray[np.int64] = self._order[
            self._starts[kind][..., None] + picks.reshape(len(indices), self.ways, each)
        ]
        turns = np.array(self.rotations)[turn] // 90
        return positions.swapaxes(1, 2), np.broadcast_to(turns[:, None, :], (len(indices), each, self.ways))

    def _members_in_turn(self, indices: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`members`, of which the next ones are drawn too where these follow those that were asked for last."""
        first, end, drawn = self._drawn
        if indices.start < first or indices.stop > end:
            first, count = indices.start, len(indices)
            if indices.start == self._asked:
                count = min(max(count, AHEAD), LARGEST_INDEX + 1 - first)
            drawn = self.members(range(first, first + count))
            object.__setattr__(self, "_drawn", (first, first + count, drawn))
        object.__setattr__(self, "_asked", indices.stop)
        positions, turns = drawn
        here = slice(indices.start - first, indices.stop - first)
        return positions[here], turns[here]

    def _stack(self, indices: range) -> Task:
        positions, turns = self._members_in_turn(indices)
        pictures = rotated(self.data.images[positions.ravel()], turns.ravel())
        shape = (len(indices), self.shots + self.queries, self.ways, *pictures.shape[1:])
        pictures = pictures.reshape(shape)
        return Task(self._part(pictures[:, : self.shots]), self._part(pictures[:, self.shots :]))

    def _part(self, pictures: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        tasks, each = pictures.shape[:2]
        x = as_floating(pictures, self.dtype).reshape(tasks, each * self.ways, *pictures.shape[3:])
        if self.channels is not None and x.ndim == 4:  # grey
            x = x[..., None]
        if self.channels == "first":
            x = np.moveaxis(x, -1, 2)
        return {"x": x, "y": np.tile(np.arange(self.ways, dtype=self.label_dtype), (tasks, each))}

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.data.labels, kind="stable")

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.unique(self.data.labels, return_counts=True)[1]
        return counts

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self._counts) - self._counts


def _check_rotations(rotations: Sequence[int], stream: str, data: LabelledImages) -> tuple[int, ...]:
    expected = f"rotations: expected distinct degrees out of {QUARTER_TURNS}, got {rotations!r}"
    if not isinstance(rotations, Sequence):
        raise InvalidTypeError(expected)
    angles = tuple(check_int(f"rotations[{i}]", angle, 0, 270) for i, angle in enumerate(rotations))
    if not angles or len(set(angles)) < len(angles) or not set(angles) <= set(QUARTER_TURNS):
        raise InvalidArgumentError(expected)
    if angles != (0,) and stream != "train":
        raise InvalidArgumentError(f"rotations: expected (0,) for the stream {stream!r}, got {angles}: only meta-train")
    height, *rest = data.images.shape[1:]
    if angles != (0,) and (not rest or height != rest[0]):
        shape = " x ".join(map(str, data.images.shape[1:]))
        raise InvalidArgumentError(f"rotations: expected (0,) for examples of {shape}, which are no square pictures")
    return angles


def _check_channels(channels: str | None, data: LabelledImages) -> None:
    if channels is None:
        return
    check_choice("channels", channels, ("first", "last"))
    if data.images.ndim not in (3, 4):
        raise InvalidArgumentError(
            f"channels: expected None for examples of shape {list(data.images.shape[1:])}, which are no pictures "
            f"[H, W] or [H, W, C], got {channels!r}"
        )


def _check_supply(data: LabelledImages, ways: int, each: int, rotations: int) -> None:
    classes, counts = np.unique(data.labels, return_counts=True)
    if len(classes) * rotations < ways:
        raise InvalidArgumentError(
            f"ways: expected at most {len(classes) * rotations}, the number of classes "
            f"({len(classes)} in the data, {rotations} rotations), got {ways}"
        )
    poorest = int(np.argmin(counts))
    if counts[poorest] < each:
        name = f" ({data.names[poorest]})" if data.names else ""
        raise InvalidArgumentError(
            f"shots, queries: expected shots + queries of at most {counts[poorest]}, the number of examples of class "
            f"{classes[poorest]}{name}, got {each}"
        )
