"""The NumPy backend with arithmetic that rounds as one likes, for estimates of how far rounding moves a computation.

Its arrays are boxes of one trace that lies below all others, so whatever is done with them, derivatives of any order
included, rounds. Unlike other boxes they have values, which Python may look at.
"""

from collections.abc import Callable
from typing import Any

import numpy

from metaspec.task import Array, Tree
from metaspec_numpy import tracer
from metaspec_numpy.adapter import NumpyBackend
from metaspec_numpy.tracer.rounding import Factors, RoundTrace


class Rounded(tracer.Box):
    """An array whose operations round."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return numpy.array(self.value, dtype=dtype)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)


class RoundingBackend(NumpyBackend):
    """NumPy, each operation's result multiplied by a factor.

    Args:
        factors: shape -> an array of that shape, a new one for each operation.
    """

    def __init__(self, factors: Factors) -> None:
        super().__init__()
        self._trace = RoundTrace([], factors, Rounded)

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        if isinstance(x, tracer.Box):
            return x if dtype is None else self.xp.astype(x, getattr(numpy, dtype))
        array = super().asarray(x, dtype, device)
        return Rounded(self._trace, array) if array.dtype.kind == "f" else array

    def to_numpy(self, x: Array) -> Any:
        return numpy.array(x.value) if type(x) is Rounded else super().to_numpy(x)

    def is_concrete(self, x: Array) -> bool:
        return type(x) is Rounded or super().is_concrete(x)

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return f  # a recording would fix the factors
