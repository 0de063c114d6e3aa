"""Omniglot's official archives: their names and checksums, where they may lie, and the pictures in them."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metaspec.data.errors import DataCorruptError, DataNotFoundError

DRAWERS = 20
SUBFOLDERS = ("", "python", "omniglot-py")  # the folder itself; a clone of brendenlake/omniglot; torchvision's layout

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


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(path: Path, archive: Archive) -> str:
    """Identifies the contents: a zip file's checked sha256; a folder's digest of its files' names, sizes and times.

    Raises:
        DataCorruptError: a zip file whose checksum is not the official one.
    """
    if path.is_file():
        digest = file_sha256(path)
        if digest != archive.sha256:
            raise DataCorruptError(
                f"{path}: sha256 is {digest}, expected {archive.sha256}: the file is damaged or is not the official "
                f"archive; remove it and fetch it again with metaspec.data.download_omniglot"
            )
        return digest
    listing = hashlib.sha256()
    for file in _unpacked(path):
        status = file.stat()
        listing.update(f"{file.relative_to(path).as_posix()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return listing.hexdigest()


def pictures(path: Path, archive: Archive) -> AbstractContextManager[tuple[list[str], Reader]]:
    """Opens a zip file or a folder: the pictures' names Alphabet/character/file.png, sorted, and their reader."""
    return _zipped(path, archive.name) if path.is_file() else _folder(path)


@contextmanager
def _zipped(path: Path, name: str) -> Iterator[tuple[list[str], Reader]]:
    with zipfile.ZipFile(path) as file:
        members = [PurePosixPath(member) for member in file.namelist() if member.endswith(".png")]
        names = ["/".join(member.parts[1:]) for member in members if len(member.parts) == 4 and member.parts[0] == name]
        yield sorted(names), lambda picture: file.read(f"{name}/{picture}")


@contextmanager
def _folder(path: Path) -> Iterator[tuple[list[str], Reader]]:
    names = [file.relative_to(path).as_posix() for file in _unpacked(path)]
    yield sorted(names), lambda picture: (path / picture).read_bytes()


def _unpacked(path: Path) -> list[Path]:
    return sorted(path.glob("*/*/*.png"))


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
