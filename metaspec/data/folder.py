"""Labelled pictures from a folder of folders."""

import os
from pathlib import Path

import numpy as np

from metaspec.atomic_files import checked_path
from metaspec.data._check import check_choice, check_int
from metaspec.data._pictures import LARGEST_FILE, decode_picture, files_beneath
from metaspec.data.errors import DataCorruptError, DataNotFoundError
from metaspec.data.images import LabelledImages
from metaspec.reading import read_regular

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
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
        `FewShot(..., channels="first")` hands them out as PyTorch's convolutions take them, [C, H, W].

    Raises:
        DataNotFoundError: no such folder, or no picture in it.
        DataCorruptError: a picture that cannot be decoded or has more than 2^26 pixels, a file that is none, a link
            out of `folder` or to a folder; says which.
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
    paths = files_beneath(root, EXTENSIONS)
    if not paths:
        raise DataNotFoundError(
            f"folder: {str(root)!r} holds no pictures: expected files {', '.join(f'*{e}' for e in EXTENSIONS)} in a "
            "folder for each class"
        )
    images = np.stack([_decoded(path, height, width, mode, resample) for path in paths.values()])
    names, labels = np.unique([path.rpartition("/")[0] for path in paths], return_inverse=True)
    return LabelledImages(images, labels, tuple(names.tolist()))


def _decoded(path: Path, height: int, width: int, mode: str, resample: str) -> np.ndarray:
    try:
        content = read_regular(path, LARGEST_FILE)
        return decode_picture(content, FORMATS, mode=mode, height=height, width=width, resample=resample)
    except OSError as error:
        raise DataCorruptError(f"{path}: cannot decode the picture: {error.strerror}") from None
    except ValueError as error:
        raise DataCorruptError(f"{path}: cannot decode the picture: {error}") from None
