"""Pictures from a folder of folders, and scikit-learn's digits."""

import sys

import numpy as np
import pytest
from PIL import Image

from metaspec.data import DataCorruptError, DataNotFoundError, FewShot, digits_tasks, load_digits, load_image_folder
from metaspec.errors import InvalidArgumentError, LibraryMissingError
from tests.data.helpers import digest

needs_sklearn = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("sklearn"), reason="scikit-learn is not installed"
)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("zebra", "ant/red", "ant/black"):
        for i in (2, 10, 1):
            write(tmp_path / "train" / kind / f"{i}.png", rng.integers(0, 256, (6, 4, 3), dtype=np.uint8))
    write(tmp_path / "train" / "zebra" / "four.JPG", np.full((6, 4, 3), 200, dtype=np.uint8))
    (tmp_path / "train" / "zebra" / "notes.txt").write_text("no picture")
    write(tmp_path / "train" / ".cache" / "thumb.png", np.zeros((2, 2), dtype=np.uint8))
    write(tmp_path / "train" / "loose.png", np.zeros((2, 2), dtype=np.uint8))
    return tmp_path / "train"


def test_classes_are_folders_in_the_order_of_their_paths(folder):
    data = load_image_folder(folder, height=6, width=4, mode="RGB")
    assert data.names == ("ant/black", "ant/red", "zebra")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    expected = ["ant/black/1", "ant/black/10", "ant/black/2", "ant/red/1", "ant/red/10", "ant/red/2", "zebra/1"]
    for image, name in zip(data.images, expected, strict=False):
        with Image.open(folder / f"{name}.png") as picture:
            np.testing.assert_array_equal(image, np.asarray(picture))
    assert FewShot(data, 3, 1, 2).task(0).query["x"].shape == (6, 6, 4, 3)


def test_pictures_are_resized_and_greyed_as_pillow_does(folder):
    data = load_image_folder(folder, height=3, width=5, resample="nearest")
    assert data.images.shape == (10, 3, 5)
    with Image.open(folder / "zebra" / "2.png") as picture:
        expected = picture.convert("L").resize((5, 3), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(data.images[-2], np.asarray(expected))


def test_folders_that_are_wrong(folder, tmp_path):
    with pytest.raises(DataNotFoundError, match="nowhere' does not exist"):
        load_image_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match=r"empty' holds no pictures: expected files \*\.bmp"):
        load_image_folder(tmp_path / "empty")
    (folder / "zebra" / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(DataCorruptError, match="zebra.broken.png: cannot decode the picture"):
        load_image_folder(folder)
    with pytest.raises(InvalidArgumentError, match="mode: expected one of 'L', 'RGB', got 'CMYK'"):
        load_image_folder(folder, mode="CMYK")


@needs_sklearn
def test_digits_are_split_and_turned_for_training_alone():
    data = load_digits()
    assert data.images.shape == (1797, 8, 8)
    assert (data.images.min(), data.images.max()) == (0, 1)
    train, test = digits_tasks(ways=5, shots=1, queries=3)
    assert set(train.data.names) == set("23457")
    assert set(test.data.names) == set("01689")
    assert (train.class_count, test.class_count) == (20, 5)
    task = test.task(0)
    assert (task.support["x"].shape, task.query["x"].shape) == ((5, 8, 8), (15, 8, 8))
    assert digest(train.batch(3, 4)) == digest(digits_tasks(ways=5, shots=1, queries=3)[0].batch(3, 4))
    pictures = {tuple(image.ravel()) for image in data.images[np.isin(data.labels, [0, 1, 6, 8, 9])].astype("float32")}
    assert {tuple(x.ravel()) for x in task.query["x"]} <= pictures


@needs_sklearn
def test_digits_that_are_wrong():
    with pytest.raises(InvalidArgumentError, match="expected both of 6 and 9 or neither, got"):
        digits_tasks(ways=2, test_digits=(5, 6))
    with pytest.raises(InvalidArgumentError, match="ways: expected at most 3"):
        digits_tasks(ways=5, test_digits=(1, 2, 3))


def test_digits_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(LibraryMissingError, match=r"needs scikit-learn.*pip install 'metaspec\[digits\]'"):
        load_digits()
