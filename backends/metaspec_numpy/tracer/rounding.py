"""Arithmetic that rounds as one likes: what every operation gives is multiplied by a factor of the caller's.

The trace lies below every jvp, vjp and vmap inside the function, so the operations of derivatives round too. Operations
that only choose, move or copy entries are exact, as they are in every format.
"""

from collections.abc import Callable
from typing import Any

from metaspec_numpy.tracer.aliasing import protected
from metaspec_numpy.tracer.core import Array, Box, Params, Primitive, Shape, Trace, is_float, is_numpy
from metaspec_numpy.tracer.outputs import as_array, as_arrays, map_outputs, run
from metaspec_numpy.tracer.rules.elementwise_rules import multiply
from metaspec_numpy.tracer.rules.structure import astype

_EXACT = """
    abs astype balance broadcast_to ceil concat copysign floor max maximum min minimum negative permute place
    positive reshape round sign slice stop_gradient take trunc where
"""
EXACT = frozenset(_EXACT.split())

Factors = Callable[[Shape], Any]


class RoundTrace(Trace):
    """Applies the primitive, then a factor."""

    __slots__ = ("factors",)

    def __init__(self, inputs: list[Array], factors: Factors, box: type[Box] = Box) -> None:
        super().__init__(box, inputs)
        self.factors = factors

    def owns(self, x: Any) -> bool:
        return isinstance(x, Box) and x.owner is self

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        out = primitive(*[arg.value if self.owns(arg) else arg for arg in args], **params)
        if primitive.name not in EXACT and is_float(out):
            factors = as_array(self.factors(tuple(out.shape)))
            out = (
                out * factors.astype(out.dtype, copy=False)
                if is_numpy(out)
                else multiply(out, astype(factors, out.dtype))
            )
        return self.box(self, out)


def perturbed(f: Callable[..., Any], factors: Factors) -> Callable[..., Any]:
    """f with the result of every operation on its arguments, and on what follows from them, multiplied by a factor.

    Args:
        f: takes arrays; returns an array or a tuple of arrays.
        factors: shape -> an array of that shape, a new one for each operation.
    """

    def wrapped(*args: Array) -> Any:
        arrays = as_arrays(args)
        trace = RoundTrace(arrays, factors)
        out = run(trace, f, [protected(trace.box(trace, x)) for x in arrays])
        return map_outputs(lambda y: y.value if trace.owns(y) else y, out)

    return wrapped
