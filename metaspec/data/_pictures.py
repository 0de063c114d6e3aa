"""Pictures on disk that may be damaged or malicious: found without leaving their folder, decoded within limits."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.data.errors import DataCorruptError

LARGEST_PICTURE = 2**26  # pixels, 8192 x 8192: decoded in RGB, 200 MB
LARGEST_FILE = 2**28  # bytes: such a picture without compression


def files_beneath(root: Path, suffixes: tuple[str, ...], depth: int | None = None) -> dict[str, Path]:
    """Finds the files with these suffixes, in sorted order: path beneath `root`, "/" between its parts -> file to open.

    Args:
        root: a folder.
        suffixes: in lower case, with their dots; upper case is found too.
        depth: how many folders lie above a file; None takes any number, and passes over names that begin with a dot.

    Raises:
        DataCorruptError: a folder that cannot be listed, a link out of `root`, or a link to a folder.
    """
    found, home = {}, os.path.realpath(root)
    folders = [""]
    while folders:
        above = folders.pop()
        try:
            entries = list(os.scandir(root / above))
        except OSError as error:
            raise DataCorruptError(f"{root / above}: its files cannot be listed: {error.strerror}") from None
        for entry in entries:
            name, picture = above + entry.name, entry.name.lower().endswith(suffixes)
            if depth is None and entry.name.startswith("."):
                continue
            if entry.is_symlink() and (picture or os.path.isdir(entry.path)):
                target = os.path.realpath(entry.path)
                if os.path.isdir(target) or os.path.commonpath([home, target]) != home:
                    where = "to a folder" if os.path.isdir(target) else f"out of {root}"
                    raise DataCorruptError(
                        f"{entry.path}: it is a link {where}, and such links are not followed; put the pictures "
                        "themselves there"
                    )
                entry_path = target
            else:
                entry_path = entry.path
            if entry.is_dir(follow_symlinks=False):
                if depth is None or name.count("/") < depth:
                    folders.append(f"{name}/")
            elif picture and (name.count("/") > 0 if depth is None else name.count("/") == depth):
                found[name] = Path(entry_path)
    return dict(sorted(found.items()))


def decode_picture(
    content: bytes,
    formats: tuple[str, ...],
    *,
    mode: str,
    height: int,
    width: int,
    resample: str,
    expected: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Decodes a picture and resizes it; its format and its size are looked at first, in its header.

    Args:
        content: the file's bytes.
        formats: Pillow's names of the formats that are tried; no other decoder sees the bytes.
        mode: "L" or "RGB".
        height: of the result.
        width: of the result.
        resample: the filter, as Pillow names it, in lower case.
        expected: (width, height) that the picture must have; None takes what has at most `LARGEST_PICTURE` pixels.

    Returns:
        uint8 [height, width] or [height, width, 3].

    Raises:
        ValueError: it cannot be decoded, or has another size.
    """
    import io

    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=formats) as picture:
            if expected is not None and picture.size != expected:
                raise ValueError("{} x {} pixels, expected {} x {}".format(*picture.size, *expected))
            if picture.size[0] * picture.size[1] > LARGEST_PICTURE:
                raise ValueError("{} x {} pixels, more than are decoded; make it smaller".format(*picture.size))
            upright = ImageOps.exif_transpose(picture).convert(mode)
            return np.asarray(upright.resize((width, height), Image.Resampling[resample.upper()]), dtype=np.uint8)
    except UnidentifiedImageError:  # Pillow's message has an address in memory
        raise ValueError(f"it is none of {', '.join(formats)}") from None
    except Exception as error:  # a damaged file fails in Pillow's decoders in a dozen ways
        raise ValueError(str(error) or type(error).__name__) from None
