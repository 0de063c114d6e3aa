"""Labelled examples out of what others keep data sets in: PyTorch's `Dataset`, Hugging Face's `datasets`, lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.data.images import LabelledImages
from metaspec.errors import InvalidArgumentError, InvalidTypeError


def from_dataset(dataset: Any, *, image: str = "image", label: str = "label") -> LabelledImages:
    """Return the examples of a data set in memory, for `FewShot` to make episodes of.

    Args:
        dataset: Has a length and rows by their number. A row is a pair (example, class), as `torchvision` and
            `torch.utils.data` have it, or a mapping, as Hugging Face's `datasets` have it. An example is a PIL picture
            or whatever `numpy.asarray` takes, a tensor too; all are of one shape. (Of a `DataLoader`: its `.dataset`.)
        image: Key of the example where rows are mappings.
        label: Key of the class.

    Returns:
        LabelledImages; the names are the data set's, where its `features` or `classes` have them.

    Raises:
        InvalidTypeError: It has no length or no rows by number, or a row is neither pair nor mapping.
        InvalidArgumentError: It is empty, a key is not there, or shapes differ; the message names the row.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> rows = [{"image": np.zeros((8, 8)), "label": k % 2} for k in range(6)]
        >>> data.from_dataset(rows).classes
        array([0, 1])
        >>> data.from_dataset([(np.zeros((3, 8, 8)), k % 2) for k in range(6)]).images.shape
        (6, 3, 8, 8)
    """
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise InvalidTypeError(
            f"dataset: expected rows by number and a length, got {type(dataset).__name__}; of a stream take a "
            "part into a list, of a DataLoader its .dataset"
        )
    if isinstance(dataset, Mapping):
        raise InvalidTypeError(f"dataset: expected one split, got several: {', '.join(map(str, dataset))}")
    pairs = [_pair(number, dataset[number], image, label) for number in range(len(dataset))]
    if not pairs:
        raise InvalidArgumentError("dataset: expected at least one row, got none")
    for number, (example, _) in enumerate(pairs):
        if example.shape != pairs[0][0].shape:
            raise InvalidArgumentError(
                f"dataset: row {number} has shape {list(example.shape)}, row 0 {list(pairs[0][0].shape)}; expected one "
                "shape: resize them first"
            )
    labels = np.array([kind for _, kind in pairs])
    return LabelledImages(np.stack([example for example, _ in pairs]), labels, _names(dataset, label, labels))


def _pair(number: int, row: Any, image: str, label: str) -> tuple[NDArray[Any], int]:
    if isinstance(row, Mapping):
        for key in (image, label):
            if key not in row:
                raise InvalidArgumentError(f"dataset: row {number} has no {key!r}; it has {', '.join(map(str, row))}")
        row = row[image], row[label]
    if not isinstance(row, tuple | list) or len(row) != 2:
        raise InvalidTypeError(
            f"dataset: row {number}: expected (example, class) or a mapping, got {type(row).__name__}"
        )
    example, kind = np.asarray(row[0]), np.asarray(row[1])
    if kind.shape or kind.dtype.kind not in "iu":
        raise InvalidTypeError(f"dataset: row {number}: expected an integer class, got {row[1]!r}")
    return example, int(kind)


def _names(dataset: Any, label: str, labels: NDArray[Any]) -> tuple[str, ...]:
    """Return the names of the classes that occur, where the data set knows them."""
    features = getattr(dataset, "features", None)
    known = getattr((features or {}).get(label), "names", None) if isinstance(features, Mapping) else None
    known = known or getattr(dataset, "classes", None)
    found = np.unique(labels)
    return tuple(map(str, np.asarray(known)[found])) if known and int(found[-1]) < len(known) else ()
