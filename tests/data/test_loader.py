"""The loader on synthetic archives: where it looks, what it refuses, its cache."""

import re
from dataclasses import replace

import numpy as np
import pytest

from metaspec.data import DataCorruptError, DataNotFoundError, load_omniglot, omniglot_tasks
from metaspec.data._archives import ARCHIVES
from metaspec.data._cache import _read, cached, default_cache_dir
from metaspec.data.omniglot import shuffled_split
from metaspec.errors import InvalidArgumentError, MetaspecError
from tests.data.helpers import description, png, small_archive, write_folder, write_zip

SMALL1, SMALL2 = "images_background_small1", "images_background_small2"
FIRST = small_archive(SMALL1, {"Balinese": 2, "Greek": 1})
SECOND = small_archive(SMALL2, {"Greek": 1, "Sanskrit": 2, "Tagalog": 1})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two small archives, which the table of official archives is made to describe."""
    folder = tmp_path / "omniglot"
    folder.mkdir()
    for name, members, characters in ((SMALL1, FIRST, 3), (SMALL2, SECOND, 4)):
        archive = description(write_zip(folder / f"{name}.zip", members), characters)
        monkeypatch.setitem(ARCHIVES, name, archive)
    return folder


def unpack(folder, *packed):
    for members in packed:
        write_folder(folder, members)
    return folder


def cache_files(tmp_path):
    return sorted((tmp_path / "xdg" / "metaspec" / "omniglot").iterdir())


def test_split_leaves_greek_of_the_second_archive_out(folder):
    train, test = load_omniglot(folder)
    assert train.names == ("Balinese/character01", "Balinese/character02", "Greek/character01")
    assert test.names == ("Sanskrit/character01", "Sanskrit/character02", "Tagalog/character01")
    assert not np.intersect1d(train.classes, test.classes).size
    train_tasks, test_tasks = omniglot_tasks(load_omniglot(folder), ways=3)
    assert (train_tasks.class_count, test_tasks.class_count) == (12, 3)


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_full_subset_joins_both_archives_and_shuffles_the_characters(tmp_path, monkeypatch, form):
    names = ("images_background", "images_evaluation")
    for name, members, count in zip(names, (FIRST, SECOND), (3, 4), strict=True):
        renamed = {f"{name}/{member.partition('/')[2]}": content for member, content in members.items()}
        path = write_zip(tmp_path / f"{name}.zip", renamed)
        monkeypatch.setitem(ARCHIVES, name, description(path, count))
        if form == "folder":
            path.unlink()
            write_folder(tmp_path, renamed)
    monkeypatch.setattr("metaspec.data.omniglot.FULL_TRAIN_CHARACTERS", 5)
    split = load_omniglot(tmp_path, "full")
    train, test = split
    assert (len(train.names), len(test.names)) == (5, 2)
    assert (len(train.images), len(test.images)) == (100, 40)
    assert not np.intersect1d(train.classes, test.classes).size
    expected = [f"{name}/{member}" for name, member in (("Balinese", "character01"), ("Tagalog", "character01"))]
    assert set(expected) < {*train.names, *test.names}
    train_tasks, test_tasks = omniglot_tasks(split, ways=2)
    assert (train_tasks.class_count, test_tasks.class_count) == (20, 2)  # rotations make classes of training's alone


def test_the_full_sets_shuffle_is_frozen():
    train, test = shuffled_split(tuple(f"{n:04}" for n in range(1623)), 1200)
    assert (train[:5], test[-3:]) == (FROZEN_TRAIN, FROZEN_TEST)
    assert shuffled_split(("b", "a"), 1) in (([0], [1]), ([1], [0]))


FROZEN_TRAIN, FROZEN_TEST = [713, 1081, 1577, 509, 665], [1564, 1165, 275]


@pytest.mark.parametrize("sub", ["", "python", "omniglot-py"])
def test_unpacked_folders_are_found_where_people_keep_them(folder, tmp_path, sub):
    elsewhere = unpack(tmp_path / "unpacked" / sub, FIRST, SECOND)
    assert elsewhere.is_dir()
    for one, other in zip(load_omniglot(folder), load_omniglot(tmp_path / "unpacked"), strict=True):
        assert np.array_equal(one.images, other.images)
        assert one.names == other.names


def test_only_the_archives_own_pictures_are_read(folder, monkeypatch):
    strays = {f"__MACOSX/{SMALL1}/Balinese/character01/._x.png": b"x", f"{SMALL1}/x.png": b"x", f"{SMALL1}/README": b""}
    path = write_zip(folder / f"{SMALL1}.zip", FIRST | strays)
    monkeypatch.setitem(ARCHIVES, SMALL1, description(path, 3))
    assert len(load_omniglot(folder).train.images) == 60


def test_wrong_checksum_names_file_found_and_expected(folder):
    path = folder / f"{SMALL2}.zip"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    found = description(path, 4).sha256
    with pytest.raises(DataCorruptError, match=rf"{re.escape(str(path))}: .*{found}.*{ARCHIVES[SMALL2].sha256}"):
        load_omniglot(folder)


def test_wrong_checksum_is_seen_even_where_the_cache_is_full(folder):
    load_omniglot(folder)
    write_zip(folder / f"{SMALL1}.zip", SECOND)
    with pytest.raises(DataCorruptError, match="sha256"):
        load_omniglot(folder)


@pytest.mark.parametrize("subset", ["small", "full"])
def test_a_folder_without_omniglot_says_what_was_looked_for_and_how_to_get_it(tmp_path, subset):
    first = {"small": SMALL1, "full": "images_background"}[subset]
    with pytest.raises(DataNotFoundError) as caught:
        load_omniglot(tmp_path, subset)
    message = str(caught.value)
    for part in (str(tmp_path), f"{first}.zip", "download_omniglot", f"subset={subset!r}", "does not hold"):
        assert part in message
    assert isinstance(caught.value, MetaspecError)
    with pytest.raises(DataNotFoundError, match="does not exist"):
        load_omniglot(tmp_path / "nowhere", subset)


def test_one_archive_alone_is_not_enough(folder):
    (folder / f"{SMALL2}.zip").unlink()
    with pytest.raises(DataNotFoundError, match=rf"{SMALL2}\.zip"):
        load_omniglot(folder)


def test_incomplete_folders_are_refused(folder, tmp_path):
    name = f"{SMALL1}/Balinese/character02/0007_02.png"
    where = unpack(tmp_path / "a", {k: v for k, v in FIRST.items() if k != name}, SECOND)
    with pytest.raises(DataCorruptError, match="Balinese/character02 has 19 pictures, expected 20"):
        load_omniglot(where)
    where = unpack(tmp_path / "b", {k: v for k, v in FIRST.items() if "character02" not in k}, SECOND)
    with pytest.raises(DataCorruptError, match="holds 2 characters, expected 3"):
        load_omniglot(where)


@pytest.mark.parametrize("content", [b"", b"not a picture", png(0)[:60], png(0).replace(b"IDAT", b"IDAX")])
def test_an_undecodable_picture_is_named(folder, tmp_path, content):
    name = f"{SMALL1}/Greek/character01/0003_01.png"
    where = unpack(tmp_path / "unpacked", FIRST | {name: content}, SECOND)
    with pytest.raises(DataCorruptError, match=r"cannot decode Greek/character01/0003_01\.png"):
        load_omniglot(where)


def test_a_changed_folder_is_decoded_anew(folder, tmp_path):
    where = unpack(tmp_path / "unpacked", FIRST, SECOND)
    before = load_omniglot(where).train.images
    (where / f"{SMALL1}/Greek/character01/0003_01.png").write_bytes(png(987654))
    changed = np.flatnonzero((load_omniglot(where).train.images != before).any(axis=(1, 2)))
    assert changed.tolist() == [42]


@pytest.mark.parametrize(
    ("arguments", "argument"), [({"subset": "tiny"}, "subset"), ({"resample": "bicubic"}, "resample")]
)
def test_wrong_arguments_are_named(folder, arguments, argument):
    with pytest.raises(InvalidArgumentError, match=rf"^{argument}: expected one of"):
        load_omniglot(folder, **arguments)


def test_the_cache_is_used_and_the_data_folder_is_left_alone(folder, tmp_path, monkeypatch):
    before = sorted(folder.rglob("*"))
    first = load_omniglot(folder)
    assert [file.suffix for file in cache_files(tmp_path)] == [".npz", ".npz"]
    assert sorted(folder.rglob("*")) == before
    monkeypatch.setattr("metaspec.data.omniglot._decode", lambda *_: pytest.fail("decoded again"))
    for one, other in zip(first, load_omniglot(folder), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert one.names == other.names


def test_resampling_filters_do_not_share_a_cache(folder, tmp_path):
    smooth, sharp = load_omniglot(folder).train.images, load_omniglot(folder, resample="nearest").train.images
    assert set(np.unique(sharp)) == {0, 255}
    assert len(np.unique(smooth)) > 10
    assert len(cache_files(tmp_path)) == 4


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "empty":
        content = bytearray()
    elif how == "cut":
        content = content[: len(content) // 2]
    elif how == "text":
        content = bytearray(b"no arrays here")
    else:
        content[int(how * (len(content) - 1))] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["empty", "cut", "text", 0.0, 0.0004, 0.002, 0.3, 0.6, 0.98, 0.995, 0.9985, 1.0])
def test_a_damaged_cache_is_built_anew(folder, tmp_path, how):
    first = load_omniglot(folder)
    whole = [file.read_bytes() for file in cache_files(tmp_path)]
    for file in cache_files(tmp_path):
        damage(file, how)
    for one, other in zip(first, load_omniglot(folder), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert one.names == other.names
    assert len(cache_files(tmp_path)) == len(whole)


def test_no_flipped_bit_goes_unseen(folder, tmp_path):
    load_omniglot(folder)
    file = cache_files(tmp_path)[0]
    content, whole = file.read_bytes(), _read(file)
    places = np.random.Generator(np.random.PCG64(0)).integers(0, 8 * len(content), size=300).tolist()
    for place in [*range(0, 800, 7), *places, *range(8 * len(content) - 2400, 8 * len(content), 9)]:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        found = _read(file)
        if found is not None:  # some bits, such as those of a date, mean nothing
            assert found.keys() == whole.keys(), place
            assert all(np.array_equal(found[name], whole[name]) for name in whole), place


def test_a_cache_of_another_shape_is_built_anew(folder, tmp_path):
    first = load_omniglot(folder)
    for file in cache_files(tmp_path):
        cached(file, lambda _: False, lambda: {"images": np.zeros((3, 28, 28), np.uint8), "names": np.array(["a"])})
    assert np.array_equal(load_omniglot(folder).train.images, first.train.images)


def test_a_cache_that_cannot_be_written_is_a_warning(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match=r"^cache_dir: could not write"):
        split = load_omniglot(folder, cache_dir=tmp_path / "file")
    assert len(split.train.images) == 60


def test_a_failed_write_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("metaspec.data._cache.os.replace", fail)
    with pytest.warns(RuntimeWarning, match="disk full"):
        load_omniglot(folder)
    assert cache_files(tmp_path) == []


@pytest.mark.parametrize(("value", "inside"), [("/some/where", "/some/where/metaspec"), ("", None), ("relative", None)])
def test_default_cache_directory_follows_the_xdg_standard(monkeypatch, tmp_path, value, inside):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(default_cache_dir()) == (inside or str(tmp_path / ".cache" / "metaspec"))


def test_an_archives_size_does_not_matter_where_its_checksum_is_right(folder, monkeypatch):
    monkeypatch.setitem(ARCHIVES, SMALL1, replace(ARCHIVES[SMALL1], size=1))
    assert len(load_omniglot(folder).train.images) == 60
