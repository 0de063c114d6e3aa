"""Pictures that say which they are and how they were turned, for laws of few-shot episodes."""

from functools import cache
from typing import Any

import numpy as np

from metaspec.data import LabelledImages

CLASSES, PER_CLASS = 6, 8
TURNS = (0, 90, 180, 270)
_CORNERS = ((0, 0), (2, 0), (2, 2), (0, 2))  # where the first corner comes to lie, counterclockwise


@cache
def numbered() -> LabelledImages:
    """Pictures n = 0, 1, ...: n + 1 in the middle, -1 in the first corner; classes in mixed order."""
    count = CLASSES * PER_CLASS
    labels = np.argsort(np.sin(np.arange(count)), kind="stable") % CLASSES * 5 - 3
    images = np.zeros((count, 3, 3))
    images[:, 1, 1] = np.arange(1, count + 1)
    images[:, 0, 0] = -1
    return LabelledImages(images, labels)


def numbers(x: Any) -> Any:
    """Which pictures these are, however turned; x is [..., 3, 3]."""
    return x[..., 1, 1].astype(int) - 1


def turns(x: Any) -> Any:
    """How many quarter turns each has been turned."""
    return np.argmin(np.stack([x[..., i, j] for i, j in _CORNERS], axis=-1), axis=-1)


def classes() -> Any:
    """The class ids."""
    return np.unique(numbered().labels)


def class_of(number: Any) -> Any:
    """The class of each picture, as its place among the class ids."""
    return np.searchsorted(classes(), numbered().labels[number])
