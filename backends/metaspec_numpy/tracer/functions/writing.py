"""Writes in place: `x += y`, `x[key] = value` and NumPy's functions that alter their argument."""

from typing import Any, cast

import numpy

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_numpy.tracer.aliasing import twin, write
from metaspec_numpy.tracer.core import NUMPY, Array, Box, Shape, namespace_of, raw_value, shape_of
from metaspec_numpy.tracer.functions.indexing_functions import getitem, is_key_array, view
from metaspec_numpy.tracer.functions.shaping import broadcast_to, reshape
from metaspec_numpy.tracer.outputs import as_array
from metaspec_numpy.tracer.rules.elementwise_rules import equal, greater_equal, maximum, where
from metaspec_numpy.tracer.rules.indexing_rules import scatter_add, take_p
from metaspec_numpy.tracer.rules.reduction_rules import max_p
from metaspec_numpy.tracer.rules.structure import astype


def assign(x: Box, value: Any, casting: str = "same_kind", where_: Any = True) -> Box:
    """`x[...] = value` where `where_` is true; returns x."""
    value = as_array(value)
    of_numpy = isinstance(raw_value(x), NUMPY)
    if of_numpy and not numpy.can_cast(value.dtype, x.dtype, cast(Any, casting)):
        raise InvalidTypeError(
            f"a write in place of {value.dtype} to an array of {x.dtype}: NumPy refuses that cast too"
        )
    extra = value.ndim - x.ndim
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = reshape(value, value.shape[extra:])
    if not _fits(value.shape, x.shape):
        raise InvalidArgumentError(f"a write in place of shape {value.shape} to an array of shape {x.shape}")
    value = astype(value, x.dtype)
    if where_ is not True:
        value = where(where_, value, x)
    elif not isinstance(value, Box) or value.shape != x.shape:
        value = where(namespace_of(x).asarray(False), x, value)  # a box, broadcast
    write(x, twin(value))
    return x


def _fits(shape: Shape, target: Shape) -> bool:
    """Whether `shape` broadcasts to `target`."""
    pairs = zip(shape[::-1], target[::-1], strict=False)
    return len(shape) <= len(target) and all(n in (1, m) for n, m in pairs)


def setitem(x: Box, key: Any, value: Any) -> None:
    """`x[key] = value`, the last of several writes to one place being the one that stays."""
    keys = key if isinstance(key, tuple) else (key,)
    if not any(is_key_array(k) for k in keys):
        assign(view(x, key), value, "unsafe")
        return
    mask = keys[0]
    if len(keys) == 1 and isinstance(mask, Box) and namespace_of(mask).isdtype(mask.dtype, "bool"):
        if shape_of(value) != ():
            raise InvalidTypeError(
                "x[mask] = values with a traced mask: how many values are taken depends on the mask; "
                "write x = np.where(mask, values, x) with values of x's shape"
            )
        assign(x, value, "unsafe", where_=reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)))
        return
    places = _places(x, key)
    value = as_array(value)
    extra = value.ndim - places.ndim
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = reshape(value, value.shape[extra:])
    put(x, places, reshape(broadcast_to(value, places.shape), -1))


def _places(x: Box, key: Any) -> Array:
    """The numbers, in reading order, of the elements that `key` picks."""
    xp = namespace_of(x)
    return getitem(xp.reshape(xp.arange(x.size), x.shape), key)


def put(x: Box, places: Array, values: Array) -> None:
    """Writes `values` to the elements of the given numbers, in order."""
    count = places.size
    if not count:
        return
    xp = namespace_of(x)
    places = reshape(places, (1, count))
    hit = equal(places, reshape(xp.arange(x.size), (x.size, 1)))
    last = max_p(where(hit, xp.arange(count), -1), axis=(1,), keepdims=False)
    written = take_p(astype(values, x.dtype), maximum(last, 0), axis=0)
    assign(x, reshape(where(greater_equal(last, 0), written, reshape(x, -1)), x.shape), "unsafe")


def add_at(x: Box, key: Any, values: Any, sign: int = 1) -> None:
    """`np.add.at(x, key, values)`: repeated places take all of their values."""
    places = _places(x, key)
    values = reshape(broadcast_to(as_array(values), places.shape), -1) * sign
    total = scatter_add(astype(values, x.dtype), reshape(places, -1), axis=0, length=x.size)
    assign(x, x + reshape(total, x.shape))
