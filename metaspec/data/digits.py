"""scikit-learn's handwritten digits: real pictures that need no download.

1,797 pictures of 8 x 8, about 180 of each digit. Meta-training has the four rotations of its digits as classes; meta-
test's digits are others and are not turned. A 6 that is turned is a 9, so the two stand on one side of the split.

Source: Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI machine learning repository, 1998 (its test
part), as scikit-learn distributes it.
"""

from collections.abc import Sequence

from metaspec.checks.optional_libraries import optional_library
from metaspec.data._check import check_int
from metaspec.data.fewshot import QUARTER_TURNS, FewShot
from metaspec.data.images import LabelledImages
from metaspec.data.variants import affine_classes
from metaspec.errors import InvalidArgumentError

TEST_DIGITS = (0, 1, 6, 8, 9)


def load_digits() -> LabelledImages:
    """All the digits, [1797, 8, 8] with ink = 1 on 0; the names are "0" to "9".

    Raises:
        LibraryMissingError: scikit-learn is not installed.

    Example:
        >>> from metaspec import data
        >>> data.load_digits().images.shape
        (1797, 8, 8)
    """
    sets = optional_library("sklearn.datasets", "load_digits", extra="digits", library="scikit-learn")
    digits = sets.load_digits()
    return LabelledImages(digits.images / 16.0, digits.target, tuple("0123456789"))


def digits_tasks(
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    seed: int = 0,
    dtype: str = "float32",
    label_dtype: str = "int32",
    variants: int = 0,
    test_digits: Sequence[int] = TEST_DIGITS,
) -> tuple[FewShot, FewShot]:
    """Returns the source of meta-training tasks, four rotations of its digits, and that of meta-test tasks, none.

    Args:
        ways: as `FewShot`'s; at most the number of `test_digits`.
        shots: as `FewShot`'s.
        queries: as `FewShot`'s.
        seed: as `FewShot`'s.
        dtype: as `FewShot`'s.
        label_dtype: as `FewShot`'s.
        variants: new classes made of each of meta-training's, as `affine_classes` does, without mirror images.
        test_digits: the digits of meta-test; the others are meta-training's.

    Raises:
        InvalidArgumentError, InvalidTypeError: as `FewShot`; digits that are none, or 6 on one side and 9 on the other.
        LibraryMissingError: scikit-learn is not installed.

    Example:
        >>> from metaspec import data
        >>> train, test = data.digits_tasks(ways=5, shots=1, queries=15)
        >>> train.task(0).query["x"].shape
        (75, 8, 8)
    """
    chosen = {check_int(f"test_digits[{i}]", digit, 0, 9) for i, digit in enumerate(test_digits)}
    if len(chosen & {6, 9}) == 1:
        raise InvalidArgumentError(
            f"test_digits: expected both of 6 and 9 or neither, got {tuple(test_digits)}: turned, one is the other"
        )
    data = load_digits()
    train, test = data.select(sorted(set(range(10)) - chosen)), data.select(sorted(chosen))
    more = affine_classes(train, check_int("variants", variants, 0), seed=seed, mirrored=False)
    return (
        FewShot(more, ways, shots, queries, seed, "train", dtype, label_dtype, QUARTER_TURNS),
        FewShot(test, ways, shots, queries, seed, "test", dtype, label_dtype),
    )
