"""Pooling of pictures [N, H, W, C] over windows without padding: what does not fill a window is left out.

The maximum is a tree of `where(a >= b, a, b)` over shifted slices. Reductions (reshape, then max) have as derivative
the mask x == max, and a compiler that computes x anew with another rounding makes that mask miss: measured in float64,
such meta-gradients are wrong by 13-24 % under XLA, batched over tasks, from two inner steps on. A choice made by
`where` survives. On a tie the gradient goes to the window's first in reading order, where a reduction would share it.
"""

from functools import reduce
from operator import add
from typing import Any

from metaspec.nn._backend import backend_of, check_pair, check_rank
from metaspec.nn.windows import geometry, shifted
from metaspec.task import Array


def max_pool2d(x: Array, window: int | tuple[int, int] = 2, *, stride: int | tuple[int, int] | None = None) -> Array:
    """Maximum of each window.

    Args:
        x: [N, H, W, C].
        window: Size of the window, or (rows, columns).
        stride: Step between windows; the window's size unless given.

    Returns:
        [N, (H - h) // s + 1, (W - w) // s + 1, C].

    Raises:
        InvalidArgumentError, InvalidTypeError: A window that does not fit, a size below 1 or no integer.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
        array([[ 5.,  7.],
               [13., 15.]])
    """
    xp = backend_of(x).xp

    def larger(a: Array, b: Array) -> Array:
        return xp.where(a >= b, a, b)

    for parts in _axes("max_pool2d", window, stride, x):
        x = reduce(larger, parts(x))
    return x


def avg_pool2d(x: Array, window: int | tuple[int, int] = 2, *, stride: int | tuple[int, int] | None = None) -> Array:
    """Mean of each window; arguments, result and errors as for `max_pool2d`.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
    """
    for parts in _axes("avg_pool2d", window, stride, x):
        slices = parts(x)
        x = reduce(add, slices) * (1.0 / len(slices))
    return x


def _axes(name: str, window: Any, stride: Any, x: Array) -> list[Any]:
    """For columns, then for rows: the function that gives the shifted slices. Pooling is separable."""
    _, height, width, _ = check_rank(f"{name}: x", x, 4, "[N, H, W, C]")
    sizes = check_pair(f"{name}: window", window)
    steps = sizes if stride is None else check_pair(f"{name}: stride", stride)

    def along(axis: int, length: int, size: int, step: int) -> Any:
        count = geometry(name, length, size, step, "valid")[0]
        return lambda x: shifted(x, axis, size, step, count)

    return [along(2, width, sizes[1], steps[1]), along(1, height, sizes[0], steps[0])]
