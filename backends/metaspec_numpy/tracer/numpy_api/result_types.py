"""Results of integers and booleans have the dtype that NumPy's own function gives them, which is asked of it.

Such data are traced where a function is recorded or batched. A rule may compute them in a wider dtype than NumPy, which
truncates 25.5 to 25 or wraps 300 to 44, or in a narrower one, which overflows.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.rules.structure import astype


def in_numpys_dtype(function: Callable[..., Any], call: Callable[..., Any], args: Any, options: Any) -> Any:
    """The result of `call`, in the dtypes of NumPy's `function` of the same arguments."""
    given = _boxes((args, options))
    result = call(*args, **options)
    if not any(box.dtype.kind in "biu" for box in given):
        return result
    try:
        with warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = function(*_mapped(_ones, args), **_mapped(_ones, options))
    except Exception:  # ones are no example of every function's arguments
        return result
    dtype = getattr(expected, "dtype", None)
    if dtype is not None and isinstance(result, Box) and result.dtype != dtype and numpy.can_cast(result.dtype, dtype):

        def wider(box: Box) -> Array:
            return astype(box, dtype) if box.dtype.kind in "biu" else box

        result = call(*_mapped(wider, args), **_mapped(wider, options))
    return _cast(result, expected)


def _cast(result: Any, expected: Any) -> Any:
    if isinstance(result, tuple | list) and isinstance(expected, tuple | list) and len(result) == len(expected):
        parts = [_cast(part, like) for part, like in zip(result, expected, strict=True)]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    dtype = getattr(expected, "dtype", None)
    return astype(result, dtype) if isinstance(result, Box) and dtype is not None else result


def _ones(box: Box) -> Any:
    return numpy.ones(box.shape, box.dtype)


def _mapped(f: Callable[[Box], Any], x: Any) -> Any:
    if isinstance(x, Box):
        return f(x)
    if callable(x) and not isinstance(x, type):
        raise NotImplementedError("a function of the user's is not called once more")
    if isinstance(x, dict):
        return {k: _mapped(f, v) for k, v in x.items()}
    return type(x)(_mapped(f, v) for v in x) if type(x) in (tuple, list) else x


def _boxes(x: Any) -> list[Box]:
    if isinstance(x, Box):
        return [x]
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, tuple | list) else ()
    return [box for part in parts for box in _boxes(part)]
