"""The array-API namespace over tensors: array-api-compat's, without what `torch.vmap` does not take."""

from types import ModuleType
from typing import Any

import array_api_compat.torch as compat
import torch

from metaspec.task import Array


class _Namespace(ModuleType):
    """Every name of array-api-compat's namespace, but those defined here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(compat, name)

    def __dir__(self) -> list[str]:
        return dir(compat)

    @staticmethod
    def sign(x: Array) -> Array:
        """-1, 0 or 1; NaN of NaN. The usual form writes NaN through a boolean mask, a shape that depends on values."""
        if x.dtype.is_complex:
            return compat.sign(x)
        return torch.where(torch.isnan(x), x, torch.sign(x)) if x.dtype.is_floating_point else torch.sign(x)


xp = _Namespace("metaspec_torch.xp")
