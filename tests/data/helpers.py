"""What several tests of the task sources need."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaspec.data import LabelledImages
from metaspec.data._archives import Archive
from metaspec.task import Task

OMNIGLOT = Path(os.environ.get("METASPEC_OMNIGLOT", Path(__file__).parents[3] / "shared" / "omniglot"))

needs_omniglot = pytest.mark.skipif(
    not (OMNIGLOT / "images_background_small1.zip").is_file(),
    reason=f"no Omniglot archives in {OMNIGLOT} (set METASPEC_OMNIGLOT to a folder that holds them)",
)


def leaves(task: Task) -> dict[str, np.ndarray]:
    return {f"{part}.{name}": leaf for part, tree in task._asdict().items() for name, leaf in tree.items()}


def digest(task: Task) -> str:
    """A hash of every leaf's name, dtype, shape and bits."""
    whole = hashlib.sha256()
    for name, leaf in sorted(leaves(task).items()):
        whole.update(f"{name} {leaf.dtype.str} {leaf.shape}".encode() + leaf.tobytes())
    return whole.hexdigest()


def assert_same_bits(one: Task, other: Task) -> None:
    a, b = leaves(one), leaves(other)
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name


def numbered_images(counts: list[int], side: int = 4) -> LabelledImages:
    """Pictures n = 0, 1, .. in mixed order of classes; pixel [0, 0] is n, pixel [0, -1] is 255, the rest is 0.

    So a picture says which it is and, through the bright corner, how it was turned.
    """
    labels = np.repeat(np.arange(len(counts)) * 7 - 3, counts)
    labels = labels[np.random.Generator(np.random.PCG64(1)).permutation(len(labels))]
    images = np.zeros((len(labels), side, side), dtype=np.float64)
    images[:, 0, 0] = np.arange(1, len(labels) + 1)
    images[:, 0, -1] = -1
    return LabelledImages(images, labels)


def identify(x: np.ndarray) -> np.ndarray:
    """The number of each of `numbered_images`, however turned; x is [..., H, W]."""
    return x.max(axis=(-2, -1)).astype(int) - 1


def png(seed: int, side: int = 105) -> bytes:
    """A one-bit picture, three strokes of ink (black) on white."""
    pixels = np.full((side, side), 255, dtype=np.uint8)
    for left, top in np.random.Generator(np.random.PCG64(seed)).integers(5, 60, size=(3, 2)):
        pixels[top : top + 40, left : left + 4] = 0
    stream = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(stream, "PNG")
    return stream.getvalue()


def small_archive(name: str, alphabets: dict[str, int], drawers: int = 20) -> dict[str, bytes]:
    """The members of a synthetic archive in the official layout."""
    return {
        f"{name}/{alphabet}/character{character + 1:02}/{drawer + 1:04}_{character + 1:02}.png": png(
            1000 * place + 100 * character + drawer
        )
        for place, (alphabet, characters) in enumerate(alphabets.items())
        for character in range(characters)
        for drawer in range(drawers)
    }


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def write_folder(folder: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def description(path: Path, characters: int) -> Archive:
    """What the table of official archives would say if this were one."""
    content = path.read_bytes()
    return Archive(path.stem, hashlib.sha256(content).hexdigest(), len(content), characters)
