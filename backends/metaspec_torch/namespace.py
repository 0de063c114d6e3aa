"""The array API over PyTorch's tensors: array_api_compat's, but for functions that fail batched or differentiated.

| function | array_api_compat's | here |
| --- | --- | --- |
| `sign` | writes NaN through a boolean mask, which `torch.vmap` refuses | chooses by `where` |
| `moveaxis` | `torch.moveaxis`, for which `torch.vmap` has no rule | `torch.movedim` |
| `matmul` | converts factors, which takes longer than small products | converts only what has another dtype |
| `floor_divide` | has no derivative | has the derivative zero, as `floor` |
"""

from typing import Any

import array_api_compat.torch as compat
import torch
from array_api_compat.torch import linalg

from metaspec.task import Array

__all__ = ["floor_divide", "linalg", "matmul", "moveaxis", "sign"]


def __getattr__(name: str) -> Any:
    return getattr(compat, name)


def __dir__() -> list[str]:
    return sorted({*dir(compat), *__all__})


def sign(x: Array, /) -> Array:
    """Return -1, 0 or 1 of real numbers, x / |x| of complex ones; NaN of NaN."""
    if compat.isdtype(x.dtype, ("complex floating", "integral")):
        return compat.sign(x)
    return torch.where(torch.isnan(x), x.detach(), torch.sign(x))


def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Array:
    """Return x with the axes of `source` brought to the places of `destination`, the others in their order."""
    return torch.movedim(x, source, destination)


def matmul(x1: Array, x2: Array, /) -> Array:
    """Return the matrix product, of the dtype that results from both."""
    return torch.matmul(x1, x2) if x1.dtype == x2.dtype else compat.matmul(x1, x2)


def floor_divide(x1: Any, x2: Any, /) -> Array:
    """Return floor(x1 / x2) by `torch.floor_divide`; its derivatives are zero."""
    a, b = (x.detach() if isinstance(x, torch.Tensor) else x for x in (x1, x2))
    return compat.floor_divide(a, b)
