"""Batching: a box holds an array with the batch axis in front; what does not depend on the batch is not boxed."""

from collections.abc import Callable
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.aliasing import protected
from metaspec_numpy.tracer.core import Array, Box, Params, Primitive, Shape, Trace
from metaspec_numpy.tracer.outputs import as_arrays, map_outputs, run
from metaspec_numpy.tracer.rules.structure import broadcast_to


class BatchBox(Box):
    """An array whose leading axis is the batch, which it does not show."""

    @Box.shape.getter
    def shape(self) -> Shape:
        shape: Shape = self.value.shape[1:]
        return shape


class BatchTrace(Trace):
    """Applies the batch rules."""

    __slots__ = ("size",)

    def __init__(self, inputs: list[Array], size: int) -> None:
        super().__init__(BatchBox, inputs)
        self.size = size

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        flags = [isinstance(arg, BatchBox) and arg.owner is self for arg in args]
        values = [arg.value if flag else arg for arg, flag in zip(args, flags, strict=True)]
        return self.box(self, primitive.batch(self.size, flags, values, params))


def vmap(f: Callable[..., Any]) -> Callable[..., Any]:
    """F applied to each slice along axis 0, at once.

    Args:
        f: takes arrays; returns an array or a tuple of arrays. It may close over arrays that are not batched.

    Returns:
        A function of arrays that all have the batch as axis 0; so has each of its results.
    """

    def batched(*args: Array) -> Any:
        arrays = as_arrays(args)
        sizes = {x.shape[0] if x.shape else None for x in arrays}
        if len(sizes) != 1 or None in sizes:
            shapes = ", ".join(str(tuple(x.shape)) for x in arrays)
            raise InvalidArgumentError(
                f"vmap: arguments need one common length on axis 0; their shapes are {shapes or 'none'}"
            )
        size = sizes.pop()
        assert size is not None
        trace = BatchTrace(arrays, size)
        out = run(trace, f, [protected(trace.box(trace, x)) for x in arrays])

        def unbox(y: Any) -> Any:
            if isinstance(y, BatchBox) and y.owner is trace:
                return y.value
            return broadcast_to(y, shape=(size, *y.shape))

        return map_outputs(unbox, out)

    return batched
