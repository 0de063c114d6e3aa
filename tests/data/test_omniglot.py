"""The real small archives: counts, splits, pictures, cache."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from metaspec.data import load_omniglot, omniglot_tasks
from metaspec.data._archives import ARCHIVES
from metaspec.data.omniglot import shuffled_split
from tests.data.helpers import OMNIGLOT, assert_same_bits, needs_omniglot

pytestmark = needs_omniglot


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def split(cache):
    return load_omniglot(OMNIGLOT, cache_dir=cache)


def alphabets(part):
    names = [name.partition("/")[0] for name in part.names]
    return {name: names.count(name) for name in sorted(set(names))}


def test_counts(split):
    train, test = split
    assert alphabets(train) == {"Balinese": 24, "Early_Aramaic": 22, "Greek": 24, "Korean": 40, "Latin": 26}
    assert alphabets(test) == {"Japanese_(katakana)": 47, "Sanskrit": 42, "Tagalog": 17}
    assert (len(train.classes), len(test.classes)) == (136, 106)
    for part in split:
        assert part.images.shape == (20 * len(part.classes), 28, 28)
        assert (np.unique(part.labels, return_counts=True)[1] == 20).all()


def test_no_class_and_no_picture_is_in_both_parts(split):
    train, test = split
    assert not np.intersect1d(train.classes, test.classes).size
    assert not set(train.names) & set(test.names)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_task_sources_have_544_rotated_and_106_upright_classes(split):
    train, test = omniglot_tasks(split, ways=5, shots=1, queries=15)
    assert (train.class_count, test.class_count) == (544, 106)
    assert (train.rotations, test.rotations) == ((0, 90, 180, 270), (0,))
    assert (train.stream, test.stream) == ("train", "test")
    x = train.batch(0, 32).query["x"]
    assert x.shape == (32, 75, 28, 28)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    assert 0.02 < x.mean() < 0.2  # ink is 1, paper is 0


def test_every_class_appears_in_training(split):
    train, _ = omniglot_tasks(split)
    positions, turns = train.members(range(2000))
    seen = np.unique(train.data.labels[positions] * 4 + turns)
    assert len(seen) == 544


@pytest.mark.parametrize("resample", ["lanczos", "nearest"])
def test_pictures_are_the_archives_inverted_and_resized(cache, resample):
    train, _ = load_omniglot(OMNIGLOT, resample=resample, cache_dir=cache)
    with zipfile.ZipFile(OMNIGLOT / "images_background_small1.zip") as file:
        members = sorted(name for name in file.namelist() if name.endswith(".png"))
        for n in (0, 777, 2719):
            with Image.open(io.BytesIO(file.read(members[n]))) as picture:
                resize = getattr(Image.Resampling, resample.upper())
                expected = 255 - np.asarray(picture.convert("L").resize((28, 28), resize))
            assert np.array_equal(train.images[n], expected)
            assert members[n].split("/")[1:3] == train.names[n // 20].split("/")
    assert set(np.unique(train.images)) == ({0, 255} if resample == "nearest" else set(range(256)))


def test_episode_pictures_are_rot90_of_the_raw_pictures(split):
    train, _ = omniglot_tasks(split, dtype="float64")
    positions, turns = train.members(range(4))
    support = train.batch(0, 4).support["x"]
    assert len(np.unique(turns)) == 4
    for task in range(4):
        for way in range(5):
            raw = split.train.images[positions[task, 0, way]]
            assert np.array_equal(support[task, way], np.rot90(raw, turns[task, 0, way]) / 255)


def test_unpacked_folders_give_what_the_archives_give(split, tmp_path):
    for name in ("images_background_small1", "images_background_small2"):
        with zipfile.ZipFile(OMNIGLOT / f"{name}.zip") as file:
            file.extractall(tmp_path / "python")
    unpacked = load_omniglot(tmp_path, cache_dir=tmp_path / "cache")
    for one, other in zip(split, unpacked, strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert one.names == other.names


def test_the_cached_arrays_give_the_same_tasks_without_decoding(split, cache, monkeypatch):
    monkeypatch.setattr("metaspec.data.omniglot._decode_all", lambda *_: pytest.fail("decoded again"))
    again = load_omniglot(OMNIGLOT, cache_dir=cache)
    for one, other in zip(omniglot_tasks(split), omniglot_tasks(again), strict=True):
        assert_same_bits(one.batch(5, 4), other.batch(5, 4))


def test_the_official_sizes_are_right():
    for name in ("images_background_small1", "images_background_small2"):
        assert (OMNIGLOT / f"{name}.zip").stat().st_size == ARCHIVES[name].size


def test_the_full_set_would_be_split_1200_to_423():
    names = tuple(f"A/{n:04}" for n in range(1623))
    train, test = shuffled_split(names, 1200)
    assert (len(train), len(test)) == (1200, 423)
    assert sorted(train + test) == list(range(1623))


@pytest.mark.soak
@pytest.mark.skipif(not (OMNIGLOT / "omniglot_full.tar.xz").is_file(), reason=f"no omniglot_full.tar.xz in {OMNIGLOT}")
def test_the_full_set(tmp_path):
    with tarfile.open(OMNIGLOT / "omniglot_full.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    train, test = load_omniglot(tmp_path, "full", cache_dir=tmp_path / "cache")
    assert (len(train.names), len(test.names)) == (1200, 423)
    assert (len(train.images), len(test.images)) == (24000, 8460)
    assert len({name.partition("/")[0] for name in (*train.names, *test.names)}) == 50
    assert not {image.tobytes() for image in test.images} & {image.tobytes() for image in train.images}
