r"""More classes out of few: every picture of a class drawn through one affine map makes a new class.

Few-shot learners overfit to the classes of meta-training long before they overfit to its pictures. Rotations by quarter
turns as new classes (Santoro et al., "Meta-learning with memory-augmented neural networks", ICML 2016) are the special
case of an exact map; here the map is drawn for each new class, and pictures are interpolated.
"""

import math

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import check_int
from metaspec.data._random import uniforms
from metaspec.data.images import LabelledImages
from metaspec.errors import InvalidArgumentError, InvalidTypeError


def affine_classes(
    data: LabelledImages,
    copies: int,
    *,
    seed: int = 0,
    rotation: float = 30.0,
    stretch: float = 0.2,
    shear: float = 0.3,
    mirrored: bool = True,
) -> LabelledImages:
    """Returns the classes of `data` and, of each, `copies` new ones: its pictures under one random affine map.

    A map turns by t, |t| <= rotation, scales each axis by exp(s), |s| <= stretch, shears by |h| <= shear, all uniform,
    and mirrors with probability 1/2; the centre stays. New pictures are interpolated linearly, and zero outside of the
    old ones. Only for meta-training: a meta-test class is one that exists.

    Args:
        data: pictures [N, H, W] or [N, H, W, C]; uint8 (values are rounded) or floating.
        copies: new classes made of each class, at least 0.
        seed: names the maps; copy c of the k-th class depends on (seed, c, k) alone.
        rotation: degrees, in [0, 180].
        stretch: logarithm of the largest scale, in [0, 1].
        shear: in [0, 1].
        mirrored: whether half of the maps mirror.

    Returns:
        (1 + copies) times the classes and pictures, the old ones first; names end in "~1", "~2", ....

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument.

    Example:
        >>> import numpy as np
        >>> from metaspec import data
        >>> drawn = np.random.default_rng(0).integers(0, 256, size=(6, 8, 8), dtype=np.uint8)
        >>> pictures = data.LabelledImages(drawn, np.arange(6) // 2)
        >>> len(data.affine_classes(pictures, 4).classes)
        15
    """
    if not isinstance(data, LabelledImages):
        raise InvalidTypeError(f"data: expected LabelledImages, got {type(data).__name__}")
    check_int("copies", copies, 0)
    check_int("seed", seed, 0)
    bounds = np.array(
        [
            math.radians(_bound("rotation", rotation, 180.0)),
            *[_bound("stretch", stretch, 1.0)] * 2,
            _bound("shear", shear, 1.0),
        ]
    )
    if data.images.ndim not in (3, 4) or data.images.dtype == np.bool_:
        shape, dtype = list(data.images.shape), data.images.dtype
        raise InvalidArgumentError(
            f"data: expected pictures [N, H, W] or [N, H, W, C] in uint8 or floating point, got {shape} in {dtype}"
        )
    classes, kinds = np.unique(data.labels, return_inverse=True)
    images, labels, names = [data.images], [kinds], list(data.names)
    for copy in range(1, copies + 1):
        u = uniforms(seed, "train", range((copy - 1) * len(classes), copy * len(classes)), len(bounds) + 1)
        made = np.empty_like(data.images)
        for kind, row in enumerate(u):
            turn, first, second, slant = bounds * (2 * row[:-1] - 1)
            mirror = -1.0 if mirrored and row[-1] < 0.5 else 1.0
            turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
            members = kinds == kind
            made[members] = _drawn_through(
                data.images[members], turned @ np.array([[math.exp(first), slant], [0.0, mirror * math.exp(second)]])
            )
        images.append(made)
        labels.append(kinds + copy * len(classes))
        names += [f"{name}~{copy}" for name in data.names]
    return LabelledImages(np.concatenate(images), np.concatenate(labels), tuple(names))


def _drawn_through(pictures: NDArray[np.generic], matrix: NDArray[np.float64]) -> NDArray[np.generic]:
    """new[p] = old[c + matrix (p - c)], c the centre, between the four nearest; zero outside."""
    height, width = pictures.shape[1:3]
    centre = (np.array([height, width]) - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
    where = centre + (grid - centre) @ matrix.T
    corner = np.floor(where).astype(np.int64)
    share = where - corner
    out = np.zeros((len(pictures), height * width, *pictures.shape[3:]))
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = corner[:, 0] + down, corner[:, 1] + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        weight = np.abs(1 - down - share[inside, 0]) * np.abs(1 - right - share[inside, 1])
        found = pictures[:, row[inside], column[inside]].astype(np.float64)
        out[:, inside] += found * weight.reshape(-1, *[1] * (pictures.ndim - 3))
    if pictures.dtype == np.uint8:
        out = np.rint(out)
    return out.reshape(pictures.shape).astype(pictures.dtype)


def _bound(name: str, value: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name}: expected a number, got {value!r} of type {type(value).__name__}")
    if not 0 <= value <= most:
        raise InvalidArgumentError(f"{name}: expected a number in [0, {most:g}], got {value!r}")
    return float(value)
