"""Labelled pictures from a folder of folders."""

import os
from pathlib import Path

import numpy as np

from metaspec.atomic_files import checked_path
from metaspec.data._check import check_choice, check_int
from metaspec.data.errors import DataCorruptError, DataNotFoundError
from metaspec.data.images import LabelledImages

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
RESAMPLING = ("nearest", "bilinear", "bicubic", "lanczos")


def load_image_folder(
    folder: str | os.PathLike[str],
    *,
    height: int = 28,
    width: int = 28,
    mode: str = "L",
    resample: str = "lanczos",
) -> LabelledImages:
    """Reads every picture beneath `folder`; its class is the folder that holds it.

    Classes and pictures are in the order of their paths, whatever the order of the file system, and the pixels are
    those of the installed Pillow: the same bits under every backend. Names that begin with a dot are passed over.

    Args:
        folder: holds a folder for each class, at any depth, e.g. one of train, validation and test.
        height: of the pictures, to which they are resized (the proportions are not kept).
        width: of the pictures.
        mode: "L" (grey) or "RGB".
        resample: "nearest", "bilinear", "bicubic" or "lanczos".

    Returns:
        uint8 images [N, height, width] or [N, height, width, 3]; the names are the classes' paths beneath `folder`.

    Raises:
        DataNotFoundError: no such folder, or no picture in it.
        DataCorruptError: a picture that cannot be decoded; says which.
        InvalidArgumentError, InvalidTypeError: naming the argument.

    Example:
        >>> train, test = split_classes(load_image_folder("birds"), (150, 50))  # doctest: +SKIP
    """
    root = checked_path(folder, "folder")
    check_int("height", height, 1)
    check_int("width", width, 1)
    check_choice("mode", mode, ("L", "RGB"))
    check_choice("resample", resample, RESAMPLING)
    if not root.is_dir():
        raise DataNotFoundError(f"folder: {str(root)!r} does not exist or is no folder")
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS)
    paths = [path for path in paths if "/" in path and not any(part.startswith(".") for part in path.split("/"))]
    if not paths:
        raise DataNotFoundError(
            f"folder: {str(root)!r} holds no pictures: expected files {', '.join(f'*{e}' for e in EXTENSIONS)} in a "
            "folder for each class"
        )
    images = np.stack([_decoded(root / path, height, width, mode, resample) for path in paths])
    names, labels = np.unique([path.rpartition("/")[0] for path in paths], return_inverse=True)
    return LabelledImages(images, labels, tuple(names.tolist()))


def _decoded(path: Path, height: int, width: int, mode: str, resample: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert(mode)
            return np.asarray(upright.resize((width, height), Image.Resampling[resample.upper()]), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataCorruptError(f"{path}: cannot decode the picture: {error}") from error
