"""MNIST-1D: few-shot classification of short time series, generated without a download.

A class is a curve of twelve points, one for each digit; an example is the curve padded, stretched, shifted, sheared and
covered with correlated noise, 40 samples of one channel. Meta-training's classes are five digits and what time
reversal, a change of sign and both make of their examples; meta-test's are the other five digits as they are.

Source: Greydanus, Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024; the package mnist1d makes the examples.
"""

import random
from functools import lru_cache

import numpy as np

from metaspec.checks.optional_libraries import optional_library
from metaspec.data._check import check_int
from metaspec.data.fewshot import FewShot
from metaspec.data.images import LabelledImages

TRAIN_CURVES = (2, 3, 4, 5, 7)
TEST_CURVES = (0, 1, 6, 8, 9)
EXAMPLES = 2000


@lru_cache(maxsize=1)
def load_mnist1d() -> LabelledImages:
    """All the series, [2000, 40, 1] with mean 0 and standard deviation 1, 200 of each class; names "0" to "9".

    The package draws from NumPy's and Python's global generators; their states are put back afterwards.

    Raises:
        LibraryMissingError: mnist1d is not installed.

    Example:
        >>> from metaspec import data
        >>> data.load_mnist1d().images.shape
        (2000, 40, 1)
    """
    library = optional_library("mnist1d.data", "load_mnist1d", extra="mnist1d")
    arguments = library.get_dataset_args()
    arguments.num_samples, arguments.train_split = EXAMPLES, 1.0
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        made = library.make_dataset(arguments)
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
    return LabelledImages(made["x"][:, :, None], made["y"], tuple("0123456789"))


def mnist1d_tasks(
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    seed: int = 0,
    dtype: str = "float32",
    label_dtype: str = "int32",
    variants: int = 3,
) -> tuple[FewShot, FewShot]:
    """Returns the source of meta-training tasks and that of meta-test tasks.

    Args:
        ways: as `FewShot`'s; at most 5.
        shots: as `FewShot`'s.
        queries: as `FewShot`'s.
        seed: as `FewShot`'s.
        dtype: as `FewShot`'s.
        label_dtype: as `FewShot`'s.
        variants: how many of time reversal, change of sign and both make new classes for meta-training, 0 to 3.

    Raises:
        InvalidArgumentError, InvalidTypeError: as `FewShot`.
        LibraryMissingError: mnist1d is not installed.

    Example:
        >>> from metaspec import data
        >>> train, test = data.mnist1d_tasks(ways=5, shots=1, queries=15)
        >>> train.class_count, train.task(0).query["x"].shape
        (20, (75, 40, 1))
    """
    count = check_int("variants", variants, 0, 3)
    data = load_mnist1d()
    train, test = data.select(TRAIN_CURVES), data.select(TEST_CURVES)
    x = train.images
    images = np.concatenate([x, x[:, ::-1], -x, -x[:, ::-1]][: 1 + count])
    labels = np.concatenate([train.labels + 10 * i for i in range(1 + count)])
    more = LabelledImages(images, labels)
    return (
        FewShot(more, ways, shots, queries, seed, "train", dtype, label_dtype),
        FewShot(test, ways, shots, queries, seed, "test", dtype, label_dtype),
    )
