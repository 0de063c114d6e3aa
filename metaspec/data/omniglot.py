"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people.

The pictures, one-bit PNGs of 105 x 105, become 28 x 28 with ink = 255 on 0, so that a task source gives ink = 1. The
MAML authors' script asks Pillow for the Lanczos filter; on a one-bit picture, however, Pillow takes the nearest pixel
whatever filter is asked for, so that is what the script does. `resample="lanczos"`, the default here, filters 8-bit
grey, which is what was asked for; `resample="nearest"` gives the pictures that the script makes.

Sources: Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic program induction", Science
2015; https://github.com/brendenlake/omniglot; https://github.com/cbfinn/maml, data/omniglot_resized and
data_generator.py.
"""

import os
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaspec.atomic_files import checked_path
from metaspec.data._archives import ARCHIVES, SUBSETS, Archive, Reader, check_complete, fingerprint, locate, pictures
from metaspec.data._cache import Arrays, cached, default_cache_dir
from metaspec.data._check import check_choice, check_int
from metaspec.data._pictures import decode_picture
from metaspec.data.errors import DataCorruptError
from metaspec.data.fewshot import QUARTER_TURNS, FewShot
from metaspec.data.images import LabelledImages
from metaspec.data.variants import affine_classes

SIDE = 28
OFFICIAL_SIZE = (105, 105)
SMALL_TEST_ALPHABETS = ("Japanese_(katakana)", "Sanskrit", "Tagalog")
FULL_TRAIN_CHARACTERS = 1200
_CACHE_FORMAT = 1


class OmniglotSplit(NamedTuple):
    """The characters for meta-training and those for meta-test; the class ids of the two are disjoint.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> labels = np.repeat(np.arange(10), 20)
        >>> characters = data.LabelledImages(np.zeros((200, 28, 28), dtype="uint8"), labels)
        >>> split = data.OmniglotSplit(*data.split_classes(characters, (6, 4)))
        >>> len(split.train.classes), len(split.test.classes)
        (6, 4)
    """

    train: LabelledImages
    test: LabelledImages


def load_omniglot(
    folder: str | os.PathLike[str],
    subset: str = "small",
    *,
    resample: str = "lanczos",
    cache_dir: str | os.PathLike[str] | None = None,
) -> OmniglotSplit:
    """Reads Omniglot from the official archives or from the folders that they unpack to.

    - "small": `train` is the five alphabets of images_background_small1 (136 characters), `test` is Katakana, Sanskrit
      and Tagalog of images_background_small2 (106); Greek and Latin stand in both files and are left out of `test`.
    - "full": the characters of images_background and images_evaluation, sorted by alphabet and character, shuffled by
      Python's `random.Random(1)`; the first 1,200 are `train`, the other 423 `test`. The MAML authors do the same,
      except that they shuffle the file system's order, which differs between machines.
    - "lake": `train` is images_background, 964 characters of 30 alphabets, `test` images_evaluation, 659 of 20 others:
      the division of the set's authors.

    A zip file is checked against its official sha256; of an unpacked folder only the number of pictures can be checked.
    Decoded pictures are kept in `cache_dir` and read from there the next time; a damaged cache is built anew.

    Args:
        folder: holds NAME.zip or the unpacked folder NAME for each archive, itself or in its subfolder python (a clone
            of the official repository) or omniglot-py (torchvision's layout). Nothing is written there.
        subset: "small", "full" or "lake".
        resample: the filter from 105 x 105 to 28 x 28, "lanczos" or "nearest".
        cache_dir: default: metaspec in the user's cache directory ($XDG_CACHE_HOME or ~/.cache).

    Returns:
        (train, test), each with uint8 images [20 * characters, 28, 28] and names "Alphabet/character01".

    Raises:
        DataNotFoundError: an archive is nowhere; says what was looked for and how to get it.
        DataCorruptError: wrong checksum, missing characters or pictures, a picture that cannot be decoded or is not of
            105 x 105, a link out of an unpacked folder.

    Example:
        >>> from metaspec import data
        >>> train, test = data.load_omniglot("~/omniglot")  # doctest: +SKIP
        >>> len(train.classes), len(test.classes)  # doctest: +SKIP
        (136, 106)
    """
    check_choice("subset", subset, tuple(SUBSETS))
    check_choice("resample", resample, ("lanczos", "nearest"))
    cache = default_cache_dir() if cache_dir is None else checked_path(cache_dir, "cache_dir")
    places = locate(checked_path(folder, "folder"), subset)
    first, second = (_decoded(path, ARCHIVES[name], resample, cache) for name, path in places.items())
    characters = _joined(first, second)
    own = range(len(first["names"]))
    if subset == "lake":
        return OmniglotSplit(characters.select(own), characters.select(range(len(own), len(characters.names))))
    if subset == "small":
        test = [i for i, name in enumerate(characters.names) if _alphabet(name) in SMALL_TEST_ALPHABETS]
        return OmniglotSplit(characters.select(own), characters.select(test))
    train, test = shuffled_split(characters.names, FULL_TRAIN_CHARACTERS)
    return OmniglotSplit(characters.select(train), characters.select(test))


def omniglot_tasks(
    split: OmniglotSplit,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    seed: int = 0,
    dtype: str = "float32",
    label_dtype: str = "int32",
    variants: int = 0,
) -> tuple[FewShot, FewShot]:
    """Returns the source of meta-training tasks, four rotations of every character, and that of meta-test tasks, none.

    Arguments and errors are those of `FewShot`; `variants` new classes are made of every character of meta-training as
    `affine_classes` does.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> characters = data.LabelledImages(np.zeros((200, 28, 28), dtype="uint8"), np.repeat(np.arange(10), 20))
        >>> split = data.OmniglotSplit(*data.split_classes(characters, (5, 5)))
        >>> train, test = data.omniglot_tasks(split, ways=5, shots=1, queries=15)
        >>> train.batch(step=0, size=4).query["x"].shape
        (4, 75, 28, 28)
    """
    characters = affine_classes(split.train, check_int("variants", variants, 0), seed=seed)
    train = FewShot(characters, ways, shots, queries, seed, "train", dtype, label_dtype, QUARTER_TURNS)
    return train, FewShot(split.test, ways, shots, queries, seed, "test", dtype, label_dtype)


def shuffled_split(names: tuple[str, ...], train: int) -> tuple[list[int], list[int]]:
    """Divides positions in `names`: sorted by name, shuffled by `random.Random(1)`, the first `train` and the rest."""
    order = sorted(range(len(names)), key=lambda i: names[i])
    random.Random(1).shuffle(order)
    return order[:train], order[train:]


def _alphabet(name: str) -> str:
    return name.partition("/")[0]


def _joined(first: Arrays, second: Arrays) -> LabelledImages:
    images = np.concatenate([first["images"], second["images"]])
    labels = np.concatenate([first["labels"], second["labels"] + len(first["names"])])
    return LabelledImages(images, labels, (*first["names"].tolist(), *second["names"].tolist()))


def _decoded(path: Path, archive: Archive, resample: str, cache_dir: Path) -> Arrays:
    file = f"{archive.name}-{resample}-{fingerprint(path, archive)[:16]}-v{_CACHE_FORMAT}.npz"
    return cached(
        cache_dir / "omniglot" / file,
        valid=lambda arrays: _whole(arrays, archive),
        build=lambda: _decode_all(path, archive, resample),
    )


def _whole(arrays: Arrays, archive: Archive) -> bool:
    count = archive.characters
    shapes = {"images": (20 * count, SIDE, SIDE), "labels": (20 * count,), "names": (count,)}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        return False
    kinds = arrays["images"].dtype == np.uint8, arrays["labels"].dtype.kind == "i", arrays["names"].dtype.kind == "U"
    return all(kinds) and np.array_equal(np.unique(arrays["labels"]), np.arange(count))


def _decode_all(path: Path, archive: Archive, resample: str) -> Arrays:
    with pictures(path, archive) as (names, read):
        check_complete(path, archive, names)
        images = np.stack([_decode(path, name, read, resample) for name in names])
    characters, labels = np.unique([name.rpartition("/")[0] for name in names], return_inverse=True)
    return {"images": images, "labels": labels, "names": characters}


def _decode(path: Path, name: str, read: Reader, resample: str) -> NDArray[np.uint8]:
    try:
        grey = decode_picture(
            read(name), ("PNG",), mode="L", height=SIDE, width=SIDE, resample=resample, expected=OFFICIAL_SIZE
        )
    except OSError as error:
        raise DataCorruptError(f"{path}: cannot decode {name}: {error.strerror}") from None
    except ValueError as error:
        raise DataCorruptError(f"{path}: cannot decode {name}: {error}") from None
    return 255 - grey
