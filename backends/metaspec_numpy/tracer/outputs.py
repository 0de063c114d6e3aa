"""What goes in and out of the transformations: an array, or a tuple of arrays."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from metaspec_numpy.tracer.aliasing import as_input, settled
from metaspec_numpy.tracer.core import Array, Box, Trace, is_numpy, left_over, namespace_of


def as_array(x: Any) -> Array:
    """Python and NumPy scalars become arrays of rank 0; arrays and boxes pass."""
    if isinstance(x, Box) or (hasattr(x, "__array_namespace__") and not isinstance(x, numpy.generic)):
        return x
    return numpy.asarray(x)


def as_arrays(xs: Iterable[Any]) -> list[Array]:
    """The inputs of a transformation, with the values that they have now."""
    return [as_input(as_array(x)) for x in xs]


def as_result(x: Any) -> Array:
    """An array that its receiver may write to, as far as NumPy has it so: no broadcast view."""
    x = as_array(x)
    return x.copy() if is_numpy(x) and not x.flags.writeable else x


def run(trace: Trace, f: Callable[..., Any], boxes: Iterable[Any]) -> Any:
    """Return f of the boxes, with what was written to its results; from then on the trace's boxes are refused.

    Raises:
        LossError: A result is a box of a trace that is over.
    """
    try:
        out = f(*boxes)
        several = isinstance(out, tuple | list)
        results = tuple(settled(as_array(y)) for y in (out if several else [out]))
    finally:
        trace.over = True
    if any(isinstance(y, Box) and y.owner.over and y.owner is not trace for y in results):
        raise left_over()
    return results if several else results[0]


def map_outputs(f: Callable[[Array], Array], out: Any) -> Any:
    """Applies `f` to the array, or to each array of the tuple or list, that a traced function returned."""
    if isinstance(out, tuple | list):
        return tuple(as_result(f(settled(as_array(y)))) for y in out)
    return as_result(f(settled(as_array(out))))


def zeros_like(x: Array) -> Array:
    """Raw zeros of the shape and dtype that `x` shows."""
    return namespace_of(x).zeros(x.shape, dtype=x.dtype)


def is_zero(x: Any) -> bool:
    """Whether `x`, a tangent or cotangent, is known to be zero throughout, so that no work need be done for it."""
    return x is None or (is_numpy(x) and not x.any())
