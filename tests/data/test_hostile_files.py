"""Pictures, archives and caches that are damaged or malicious: named, bounded, nothing outside of the folder read."""

import io
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from metaspec.data import DataCorruptError, DataNotFoundError, load_image_folder, load_omniglot
from metaspec.data._archives import ARCHIVES, SUBSETS
from metaspec.data._cache import _read, cached
from metaspec.data._pictures import decode_picture
from metaspec.data.folder import FORMATS
from metaspec.errors import MetaspecError
from tests.data.helpers import description, png, small_archive, write_folder, write_zip

SMALL1, SMALL2 = SUBSETS["small"]
FIRST = small_archive(SMALL1, {"Balinese": 1, "Greek": 1})
SECOND = small_archive(SMALL2, {"Sanskrit": 1})
VICTIM = f"{SMALL1}/Greek/character01/0003_01.png"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two unpacked archives, which the table of official archives is made to describe, and a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, members, characters in ((SMALL1, FIRST, 2), (SMALL2, SECOND, 1)):
        monkeypatch.setitem(ARCHIVES, name, description(write_zip(packed / f"{name}.zip", members), characters))
    return write_folder(tmp_path / "omniglot", FIRST | SECOND)


def packed(tmp_path):
    return tmp_path / "packed"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width, height, kind=0, depth=1):
    """A small PNG of many pixels."""
    packer, row = zlib.compressobj(9), bytes(1 + (width * depth + 7) // 8)
    content = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def encoded(format, size=(105, 105)):
    stream = io.BytesIO()
    Image.new("L", size, 200).save(stream, format)
    return stream.getvalue()


EPS = b"%!PS-Adobe EPSF-3.0\n%%BoundingBox: 0 0 105 105\n(pwn) print\nshowpage\n"


@pytest.fixture
def undecoded(monkeypatch):
    """Decoding a pixel fails the test."""

    def load(self):
        pytest.fail("a picture was decoded whose header had been enough to refuse it")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bomb(20000, 20000), "exceeds limit"),
        (bomb(13300, 13300), "13300 x 13300 pixels, expected 105 x 105"),
        (png(0, side=104), "104 x 104 pixels, expected 105 x 105"),
        (EPS, "it is none of PNG"),
        (encoded("GIF"), "it is none of PNG"),
        (encoded("JPEG"), "it is none of PNG"),
        (b"", "it is none of PNG"),
        (bytes(70_000), "it has 70000 bytes, expected at most 65536"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_picture_is_refused_by_its_size_and_format_alone(
    folder, tmp_path, monkeypatch, undecoded, form, content, message
):
    monkeypatch.setattr("metaspec.data._archives.files_beneath", first_only(VICTIM))
    monkeypatch.setattr("metaspec.data.omniglot.check_complete", lambda *_: None)
    if form == "zip":
        path = write_zip(packed(tmp_path) / f"{SMALL1}.zip", {VICTIM: content})
        monkeypatch.setitem(ARCHIVES, SMALL1, description(path, 2))
        folder, message = packed(tmp_path), message.replace("it has 70000 bytes, expected at most", "more than")
    else:
        (folder / VICTIM).write_bytes(content)
    with pytest.raises(DataCorruptError, match=f"cannot decode Greek/character01/0003_01.png: .*{message}"):
        load_omniglot(folder)


def first_only(name):
    """`files_beneath` for a folder in which one picture is looked at."""
    return lambda root, suffixes, depth: {name.partition("/")[2]: root / name.partition("/")[2]}


def pipe(place):
    os.mkfifo(place)


def link_to(target):
    return lambda place: place.symlink_to(target)


SPECIAL = {
    "pipe": (pipe, "a pipe or a device, expected a file"),
    "link to a file outside": (link_to("/etc/passwd"), "it is a link out of"),
    "link to a device": (link_to("/dev/zero"), "it is a link out of"),
    "link upwards": (link_to("../../../../packed/images_background_small1.zip"), "it is a link out of"),
    "link to a folder": (link_to(".."), "it is a link to a folder"),
    "link to itself": (lambda place: place.symlink_to(place.name), "0003_01.png"),
    "folder": (lambda place: place.mkdir(), "character01 has 19 pictures, expected 20"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_picture_file_is_not_opened(folder, kind):
    make, message = SPECIAL[kind]
    (folder / VICTIM).unlink()
    make(folder / VICTIM)
    with pytest.raises(DataCorruptError, match=message):
        load_omniglot(folder)


def test_a_folder_of_pictures_elsewhere_is_not_read_through_a_link(folder, tmp_path):
    alphabet = folder / SMALL1 / "Greek"
    alphabet.rename(tmp_path / "elsewhere")
    alphabet.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataCorruptError, match="Greek: it is a link to a folder, and such links are not followed"):
        load_omniglot(folder)


def test_links_within_the_folder_are_pictures(folder, tmp_path):
    expected = load_omniglot(folder, cache_dir=tmp_path / "a").train.images
    (folder / VICTIM).rename(folder / SMALL1 / "kept")
    (folder / VICTIM).symlink_to("../../kept")
    np.testing.assert_array_equal(load_omniglot(folder, cache_dir=tmp_path / "b").train.images, expected)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder"])
def test_an_archive_that_is_no_file_is_not_opened(folder, tmp_path, kind):
    place = packed(tmp_path) / f"{SMALL1}.zip"
    place.unlink()
    {
        "pipe": pipe,
        "device": link_to("/dev/zero"),
        "loop": link_to(place.name),
        "folder": lambda place: place.mkdir(),
    }[kind](place)
    with pytest.raises(DataNotFoundError, match="found neither images_background_small1.zip"):
        load_omniglot(packed(tmp_path))


def zip_of(members, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def lying_zip(members):
    """A zip whose list of members says that each has ten bytes."""
    content = bytearray(zip_of(members))
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(content)


MEMBERS = list(FIRST.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_of([*MEMBERS[:-1], (MEMBERS[-1][0], bytes(10**7))]), "cannot decode Greek.*more than 65536 bytes"),
        (lying_zip(MEMBERS), "cannot decode Balinese"),
        (zip_of([*MEMBERS, MEMBERS[0]]), "character01 has 21 pictures, expected 20"),
        (zip_of([*MEMBERS, (f"{SMALL1}/../../evil.png", b"x")]), "has 1 pictures, expected 20"),
        (zip_of([*MEMBERS, *((f"{SMALL1}/A/{i}/x.png", b"") for i in range(5000))]), "has 1 pictures, expected 20"),
        (zip_of(MEMBERS, zipfile.ZIP_BZIP2).replace(b"BZh9", b"BZh0"), "cannot decode Balinese"),
        (zip_of(MEMBERS)[:-10], "it is no zip file"),
        (b"PK\x05\x06" + bytes(18), "holds 0 characters"),
        (b"", "it is no zip file"),
    ],
)
def test_malicious_archives(folder, tmp_path, monkeypatch, content, message):
    """Ones with the right checksum, so that nothing but the guards within stands before them."""
    path = packed(tmp_path) / f"{SMALL1}.zip"
    path.write_bytes(content)
    monkeypatch.setitem(ARCHIVES, SMALL1, description(path, 2))
    with pytest.raises(DataCorruptError, match=f"{SMALL1}.zip: .*{message}"):
        load_omniglot(packed(tmp_path))
    assert not (tmp_path / "evil.png").exists()


def damaged(rng, content):
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(content))) if len(content) else 0
        what = rng.integers(4)
        if what == 0 and content:
            content[at] ^= 1 << int(rng.integers(8))
        elif what == 1:
            content[at : at + 8] = rng.bytes(8)
        elif what == 2 and rng.random() < 0.2:
            content = content[:at]
        else:
            content[at:at] = content[: int(rng.integers(20))]
    return bytes(content)


def check_random_pictures(seeds):
    """Damaged files of every format: decoded, or a ValueError in one line."""
    originals = [encoded(format, (13, 17)) for format in FORMATS]
    decoded = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        content = originals[rng.integers(len(originals))]
        formats = ("PNG",) if rng.random() < 0.2 else FORMATS
        mode = ["L", "RGB"][rng.integers(2)]
        try:
            shape = decode_picture(
                damaged(rng, content), formats, mode=mode, height=5, width=6, resample="lanczos"
            ).shape
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        else:
            assert shape == ((5, 6) if mode == "L" else (5, 6, 3)), f"seed {seed}"
            decoded += 1
    return decoded


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it repairs
def test_random_damages_of_pictures():
    assert 20 < check_random_pictures(range(300)) < 280


def check_random_archives(path, monkeypatch, seeds):
    original = zip_of(MEMBERS[:40])
    for seed in seeds:
        path.write_bytes(damaged(np.random.default_rng(seed), original))
        monkeypatch.setitem(ARCHIVES, SMALL1, description(path, 2))
        try:
            assert len(load_omniglot(path.parent).train.images) == 40, f"seed {seed}"
        except DataCorruptError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_random_damages_of_archives(folder, tmp_path, monkeypatch):
    check_random_archives(packed(tmp_path) / f"{SMALL1}.zip", monkeypatch, range(40))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_many_random_damages(folder, tmp_path, monkeypatch):
    check_random_pictures(range(1000, 21000))
    check_random_archives(packed(tmp_path) / f"{SMALL1}.zip", monkeypatch, range(1000, 4000))


@pytest.fixture
def birds(tmp_path):
    place = tmp_path / "birds" / "wren"
    place.mkdir(parents=True)
    for i in range(2):
        (place / f"{i}.png").write_bytes(encoded("PNG", (6, 4)))
    assert len(load_image_folder(tmp_path / "birds").images) == 2
    return tmp_path / "birds"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place.write_bytes(bomb(9000, 9000)), "9000 x 9000 pixels, more than are decoded"),
        (lambda place: place.write_bytes(EPS), "it is none of BMP, GIF"),
        (pipe, "a pipe or a device"),
        (link_to("/etc/passwd"), "it is a link out of"),
        (link_to("/dev/zero"), "it is a link out of"),
        (link_to("../../birds"), "it is a link to a folder"),
        (link_to("9.png"), "links are not followed"),
    ],
)
def test_folders_of_pictures(birds, make, message):
    make(birds / "wren" / "9.png")
    with pytest.raises(DataCorruptError, match=f"9.png: .*{message}"):
        load_image_folder(birds)


def test_a_class_that_is_a_link_is_not_left_out_in_silence(birds, tmp_path):
    (tmp_path / "robin").mkdir()
    (birds / "robin").symlink_to(tmp_path / "robin")
    with pytest.raises(DataCorruptError, match="robin: it is a link to a folder"):
        load_image_folder(birds)
    (birds / "robin").unlink()
    (birds / ".hidden").symlink_to(tmp_path / "robin")
    assert load_image_folder(birds).names == ("wren",)


def npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


HUGE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }"
HUGE_NPY = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + HUGE.ljust(117) + b"\n"


@pytest.mark.parametrize(
    "make",
    [
        pipe,
        link_to("/dev/zero"),
        lambda place: place.mkdir(),
        lambda place: place.write_bytes(npz(compressed=True, digest=np.zeros(10**7, np.uint8))),
        lambda place: place.write_bytes(npz(digest=np.array([{}], dtype=object))),
        lambda place: place.write_bytes(zip_of([("digest.npy", HUGE_NPY)], zipfile.ZIP_STORED)),
        lambda place: (place.touch(), os.truncate(place, 2**40)),
    ],
    ids=["pipe", "device", "folder", "bomb", "pickle", "huge shape", "huge file"],
)
@pytest.mark.filterwarnings("ignore:cache_dir. could not write")  # a folder cannot be replaced by a file
def test_a_cache_that_is_something_else_is_built_anew(tmp_path, make):
    place, wanted = tmp_path / "c.npz", {"x": np.arange(3)}
    make(place)
    assert cached(place, lambda _: True, lambda: wanted) is wanted
    if not place.is_dir():
        np.testing.assert_array_equal(_read(place)["x"], wanted["x"])


def test_a_compressed_cache_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "c.npz").write_bytes(npz(compressed=True, digest=np.zeros(10**6, np.uint8)))
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("unpacked"))
    assert _read(tmp_path / "c.npz") is None


def test_names_with_a_nul_are_no_paths():
    for load in (load_omniglot, load_image_folder):
        with pytest.raises(MetaspecError, match="folder: expected a path"):
            load("a\0b")
