"""Labelled pictures, or other arrays, in memory, and the division of their classes into meta-training and meta-test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import check_int
from metaspec.data._random import partial_shuffle, uniforms
from metaspec.errors import InvalidArgumentError, InvalidTypeError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Pictures, or other examples, and the class of each.

    Args:
        images: [N, H, W] or [N, H, W, C], or examples of any other shape [N, ...]; uint8 (0..255), bool or floating.
        labels: integer class ids [N]; any integers, in any order.
        names: the classes' names, in increasing order of the ids; empty where the classes have none.

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> pictures = data.LabelledImages(np.zeros((6, 28, 28), dtype="uint8"), np.array([0, 0, 1, 1, 2, 2]))
        >>> pictures.classes
        array([0, 1, 2])
        >>> len(pictures.select([0, 2]).images)
        4
    """

    images: NDArray[Any]
    labels: NDArray[np.integer[Any]]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if not (images.dtype == np.uint8 or images.dtype == np.bool_ or np.issubdtype(images.dtype, np.floating)):
            raise InvalidTypeError(f"images: expected uint8, bool or floating pictures, got dtype {images.dtype}")
        if images.ndim < 2:
            raise InvalidArgumentError(
                f"images: expected shape [N, H, W], [N, H, W, C] or [N, ...], got {list(images.shape)}"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise InvalidTypeError(f"labels: expected integer class ids, got dtype {labels.dtype}")
        if labels.shape != images.shape[:1]:
            raise InvalidArgumentError(
                f"labels: expected one class id per picture, shape [{len(images)}], got {list(labels.shape)}"
            )
        count = len(np.unique(labels))
        if self.names and len(self.names) != count:
            raise InvalidArgumentError(f"names: expected {count}, one per class, got {len(self.names)}")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)

    @property
    def classes(self) -> NDArray[np.integer[Any]]:
        """The distinct class ids, increasing."""
        return np.unique(self.labels)

    def select(self, classes: Sequence[int] | NDArray[np.integer[Any]]) -> "LabelledImages":
        """Returns the pictures of the given classes, ids and order of the pictures kept.

        Raises:
            InvalidArgumentError: an id that is no class of these pictures.
        """
        wanted, own = np.unique(np.asarray(classes, dtype=np.int64)), self.classes
        strangers = np.setdiff1d(wanted, own)
        if strangers.size:
            raise InvalidArgumentError(f"classes: expected ids of classes that exist, got {strangers.tolist()[:10]}")
        keep = np.isin(self.labels, wanted)
        names = tuple(name for name, kept in zip(self.names, np.isin(own, wanted), strict=False) if kept)
        return LabelledImages(self.images[keep], self.labels[keep], names)


def split_classes(data: LabelledImages, counts: Sequence[int], seed: int = 0) -> tuple[LabelledImages, ...]:
    """Divides the classes at random into disjoint parts, e.g. meta-train, meta-validation and meta-test.

    Args:
        data: the pictures.
        counts: how many classes each part gets; classes beyond their sum are left out.
        seed: names the division, 0 <= seed < 2^64.

    Returns:
        One LabelledImages per count; no class is in two of them.

    Raises:
        InvalidArgumentError: more classes asked for than there are, or a count below one.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> pictures = data.LabelledImages(np.zeros((6, 2, 2), dtype=np.uint8), np.array([0, 0, 1, 1, 2, 2]))
        >>> [len(part.classes) for part in data.split_classes(pictures, (2, 1))]
        [2, 1]
    """
    sizes = [check_int(f"counts[{i}]", count, 1) for i, count in enumerate(counts)]
    own, total = data.classes, sum(sizes)
    if total > len(own):
        raise InvalidArgumentError(f"counts: expected a sum of at most {len(own)}, the number of classes, got {total}")
    u = uniforms(check_int("seed", seed, 0), "train", (0,), total)
    chosen = own[partial_shuffle(u, np.array([len(own)]))[0]]
    return tuple(data.select(part) for part in np.split(chosen, np.cumsum(sizes)[:-1]))


def as_floating(pictures: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Converts to floating point: k -> k / 255 for uint8, 0 and 1 for bool, rounding for floats."""
    converted = pictures.astype(dtype)
    if pictures.dtype == np.uint8:
        converted /= 255
    return converted


def rotated(pictures: NDArray[Any], quarter_turns: NDArray[np.int64]) -> NDArray[Any]:
    """Turns picture n of [n, H, H, ...] counterclockwise by quarter_turns[n] * 90 degrees, as `np.rot90` does."""
    out = pictures.copy()
    for turns in range(1, 4):
        rows = np.flatnonzero(quarter_turns == turns)
        if rows.size:
            out[rows] = np.rot90(pictures[rows], turns, axes=(1, 2))
    return out
