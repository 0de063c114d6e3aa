"""Forward mode: a box holds a value and its tangent; what has tangent zero is not boxed at all."""

from collections.abc import Callable, Sequence
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.aliasing import protected
from metaspec_numpy.tracer.complex_values import refuse_complex
from metaspec_numpy.tracer.core import Array, Box, Params, Primitive, Trace, is_float
from metaspec_numpy.tracer.outputs import as_array, as_arrays, is_zero, map_outputs, run, zeros_like


class ForwardBox(Box):
    """A value and its tangent, which is of the same shape and dtype and never zero by construction."""

    def __init__(self, trace: Trace, value: Array, tangent: Array) -> None:
        self.owner = trace
        self.value = value
        self.tangent = tangent


class ForwardTrace(Trace):
    """Applies the jvp rules."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        primals: list[Any] = []
        tangents: list[Any] = []
        for arg in args:
            mine = isinstance(arg, ForwardBox) and arg.owner is self
            primals.append(arg.value if mine else arg)
            tangents.append(arg.tangent if mine else None)
        out = primitive(*primals, **params)
        if primitive.jvp is None:
            return out
        refuse_complex(primitive, out)
        tangent = primitive.jvp(tangents, out, *primals, **params)
        return out if tangent is None else self.box(self, out, tangent)


def jvp(f: Callable[..., Any], primals: Sequence[Array], tangents: Sequence[Array | None]) -> tuple[Any, Any]:
    """The value f(x) and the directional derivative f'(x)·t, computed side by side.

    Args:
        f: takes `len(primals)` arrays; returns an array or a tuple of arrays.
        primals: where to evaluate.
        tangents: the direction, shaped like primals. None stands for zero and costs nothing.

    Returns:
        `(value, tangent)`, both structured like the result of f.
    """
    if len(primals) != len(tangents):
        raise InvalidArgumentError(
            f"jvp: {len(primals)} primals but {len(tangents)} tangents; give one tangent for each"
        )
    arrays = as_arrays(primals)
    trace = ForwardTrace(ForwardBox, arrays)
    boxes = [
        x if is_zero(t) or not is_float(x) else protected(trace.box(trace, x, as_array(t)))
        for x, t in zip(arrays, tangents, strict=True)
    ]
    out = run(trace, f, boxes)

    def mine(y: Any) -> bool:
        return isinstance(y, ForwardBox) and y.owner is trace

    return (
        map_outputs(lambda y: y.value if mine(y) else y, out),
        map_outputs(lambda y: y.tangent if mine(y) else zeros_like(y), out),
    )
