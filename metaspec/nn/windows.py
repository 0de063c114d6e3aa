"""Sliding windows over pictures: their geometry, and the shifted slices that convolution and pooling are made of."""

from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec.task import Array

PADDINGS = ("same", "valid")


def geometry(name: str, length: int, window: int, stride: int, padding: str) -> tuple[int, int, int]:
    """Return (number of windows, zeros before, zeros after) along one axis.

    "same": ceil(length / stride) windows; where an odd number of zeros is needed the extra one comes after, as in
    TensorFlow and XLA (PyTorch's `padding=1` pads equally and differs for stride 2). "valid": no zeros.

    Raises:
        InvalidArgumentError: An unknown padding, or a window larger than the picture with "valid".
    """
    if padding not in PADDINGS:
        raise InvalidArgumentError(f"{name}: padding must be 'same' or 'valid', got {padding!r}")
    if padding == "valid":
        if window > length:
            raise InvalidArgumentError(
                f"{name}: a window of {window} does not fit into {length} pixels; use padding='same' or larger pictures"
            )
        return (length - window) // stride + 1, 0, 0
    count = -(-length // stride)
    zeros = max((count - 1) * stride + window - length, 0)
    return count, zeros // 2, zeros - zeros // 2


def pad(xp: Any, x: Array, axis: int, before: int, after: int) -> Array:
    """Return `x` with zeros around it along `axis`; the array API standard has no pad."""
    if not before and not after:
        return x
    index = [slice(None)] * len(x.shape)
    index[axis] = slice(0, 1)
    zero = xp.zeros_like(x[tuple(index)])
    return xp.concat([zero] * before + [x] + [zero] * after, axis=axis)


def shifted(x: Array, axis: int, window: int, stride: int, count: int) -> list[Array]:
    """Return for each offset within the window the slice x[offset], x[offset + stride], ... of length `count`."""
    before = (slice(None),) * axis
    reach = (count - 1) * stride + 1
    return [x[(*before, slice(offset, offset + reach, stride), ...)] for offset in range(window)]
