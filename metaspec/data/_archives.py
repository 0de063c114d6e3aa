"""Omniglot's official archives: their names and checksums, where they may lie, and the pictures in them."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metaspec.data._pictures import files_beneath
from metaspec.data.errors import DataCorruptError, DataNotFoundError
from metaspec.reading import read_regular, regular_file

DRAWERS = 20
LARGEST_ARCHIVE = 2**28  # bytes
LARGEST_PNG = 2**16  # bytes; the largest there is has some hundreds
SUBFOLDERS = ("", "python", "omniglot-py")  # the folder itself; a clone of brendenlake/omniglot; torchvision's layout
_ADVICE = (
    "expected sha256 {archive.sha256}, of {archive.size} bytes: the file is damaged or not the official one; remove it "
    "and fetch it again with metaspec.data.download_omniglot"
)

Reader = Callable[[str], bytes]


@dataclass(frozen=True)
class Archive:
    """One official archive: NAME.zip, or the folder NAME that it unpacks to."""

    name: str
    sha256: str
    size: int
    characters: int


# Characters: README of brendenlake/omniglot. Checksums and sizes: tensorflow/datasets, url_checksums/omniglot.txt.
ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            "images_background_small1", "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4", 1319022, 136
        ),
        Archive(
            "images_background_small2", "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f", 1580917, 156
        ),
        Archive("images_background", "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640", 9464212, 964),
        Archive("images_evaluation", "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee", 6462886, 659),
    )
}
SUBSETS = {
    "small": ("images_background_small1", "images_background_small2"),
    "full": ("images_background", "images_evaluation"),
    "lake": ("images_background", "images_evaluation"),
}


def locate(folder: Path, subset: str) -> dict[str, Path]:
    """Finds, for each archive of the subset, NAME.zip or the unpacked folder NAME.

    Raises:
        DataNotFoundError: one of them is nowhere.
    """
    found = {}
    for name in SUBSETS[subset]:
        places = [folder / sub / end for sub in SUBFOLDERS for end in (f"{name}.zip", name)]
        hits = [place for place in places if (place.is_file() if place.suffix == ".zip" else place.is_dir())]
        if not hits:
            raise DataNotFoundError(
                f"folder: {str(folder)!r} {'does not exist' if not folder.is_dir() else 'does not hold Omniglot'}: "
                f"found neither {name}.zip nor an unpacked folder {name}, there or in its subfolders python and "
                f"omniglot-py. The subset {subset!r} needs {' and '.join(SUBSETS[subset])}. To fetch them: "
                f"metaspec.data.download_omniglot({str(folder)!r}, subset={subset!r})"
            )
        found[name] = hits[0]
    return found


def is_official(path: Path, archive: Archive) -> bool:
    """Whether the file at `path` is the archive, to the bit."""
    try:
        return fingerprint(path, archive) == archive.sha256
    except DataCorruptError:
        return False


def fingerprint(path: Path, archive: Archive) -> str:
    """Identifies the contents: a zip file's checked sha256; a folder's digest of its files' names, sizes and times.

    Raises:
        DataCorruptError: a zip file whose checksum is not the official one.
    """
    if path.suffix == ".zip":
        try:
            with regular_file(path, LARGEST_ARCHIVE, follow=True) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataCorruptError(f"{path}: {error.strerror}; {_ADVICE.format(archive=archive)}") from None
        if digest != archive.sha256:
            raise DataCorruptError(f"{path}: sha256 is {digest}, {_ADVICE.format(archive=archive)}")
        return digest
    listing = hashlib.sha256()
    for name, file in files_beneath(path, (".png",), depth=2).items():
        status = file.lstat()
        listing.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return listing.hexdigest()


def pictures(path: Path, archive: Archive) -> AbstractContextManager[tuple[list[str], Reader]]:
    """Opens a zip file or a folder: the pictures' names Alphabet/character/file.png, sorted, and their reader.

    The reader raises ValueError or OSError where a picture cannot be read, or has more than `LARGEST_PNG` bytes.
    """
    return _zipped(path, archive) if path.suffix == ".zip" else _folder(path)


@contextmanager
def _zipped(path: Path, archive: Archive) -> Iterator[tuple[list[str], Reader]]:
    with regular_file(path, LARGEST_ARCHIVE, follow=True) as stream:
        try:
            file = zipfile.ZipFile(stream)
        except Exception as error:  # a damaged list of members fails in many ways
            raise DataCorruptError(f"{path}: it is no zip file: {error}") from None
        members = [(info, PurePosixPath(info.filename).parts) for info in file.infolist()]
        names = [
            ("/".join(parts[1:]), info)
            for info, parts in members
            if len(parts) == 4 and parts[0] == archive.name and info.filename.endswith(".png")
        ]
        by_name = dict(names)
        yield sorted(name for name, _ in names), lambda picture: _member(file, by_name[picture])


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with file.open(info) as stream:
            content = stream.read(LARGEST_PNG + 1)
    except Exception as error:  # zlib's errors, unknown methods, encryption, a member beyond the end
        raise ValueError(str(error) or type(error).__name__) from None
    if len(content) > LARGEST_PNG:
        raise ValueError(f"more than {LARGEST_PNG} bytes")
    return content


@contextmanager
def _folder(path: Path) -> Iterator[tuple[list[str], Reader]]:
    files = files_beneath(path, (".png",), depth=2)
    yield list(files), lambda picture: read_regular(files[picture], LARGEST_PNG)


def check_complete(path: Path, archive: Archive, names: list[str]) -> None:
    """Checks the number of characters and that each has 20 pictures: all that can be known of an unpacked folder.

    Raises:
        DataCorruptError: saying what is missing.
    """
    drawings: dict[str, int] = {}
    for name in names:
        character = name.rpartition("/")[0]
        drawings[character] = drawings.get(character, 0) + 1
    wrong = {character: count for character, count in drawings.items() if count != DRAWERS}
    if wrong:
        character, count = min(wrong.items())
        raise DataCorruptError(f"{path}: {character} has {count} pictures, expected {DRAWERS} (one per drawer)")
    if len(drawings) != archive.characters:
        raise DataCorruptError(
            f"{path}: holds {len(drawings)} characters, expected {archive.characters}: unpack {archive.name}.zip again"
        )
