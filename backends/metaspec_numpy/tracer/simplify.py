"""Rewriting of primitives while they are recorded; every rewriting gives the same bits."""

import math
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Box, Params, Primitive, is_float, is_numpy, shape_of
from metaspec_numpy.tracer.functions.shaping import broadcast_shapes
from metaspec_numpy.tracer.rules import elementwise_rules as elementwise
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules.structure import keepdims_shape

SPREADING = frozenset(
    p
    for p in vars(elementwise).values()
    if isinstance(p, Primitive) and p not in (structure.reshape, structure.broadcast_to, elementwise.stop_gradient)
)
"""Elementwise primitives: they broadcast of themselves."""

Call = tuple[Primitive, tuple[Any, ...], Params]


def rewrite(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    """A box that has the result already, or a `Call` that is at most as much work."""
    rule = RULES.get(primitive)
    if rule is not None:
        return rule(trace, primitive, args, params)
    if primitive in SPREADING:
        return primitive, _without_spreading(trace, args), params
    return primitive, args, params


def _without_spreading(trace: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments that were broadcast, and constants that are one number throughout, are taken as they were before."""
    if len(args) < 2:
        return args
    shapes = [shape_of(arg) for arg in args]
    full = broadcast_shapes(*shapes)
    slim = list(args)
    for i, arg in enumerate(args):
        candidate = _slimmer(trace, arg)
        if candidate is not None:
            others = shapes[:i] + shapes[i + 1 :]
            if broadcast_shapes(shape_of(candidate), *others) == full:
                slim[i], shapes[i] = candidate, shape_of(candidate)
    return tuple(slim)


def _slimmer(trace: Any, x: Any) -> Any:
    maker, sources, _ = trace.origin(x)
    if maker is structure.broadcast_to:
        return sources[0]
    if is_numpy(x) and x.ndim and x.size and x.dtype.kind == "f":
        first = x[(0,) * x.ndim]
        if numpy.all(x == first) and numpy.all(numpy.signbit(x) == numpy.signbit(first)):
            return numpy.asarray(first)
    return None


def _is(x: Any, value: float) -> bool:
    """Whether x is a constant that is `value` throughout."""
    if isinstance(x, Box):
        return False
    if isinstance(x, int | float):
        return x == value and math.copysign(1, x) == math.copysign(1, value)
    return isinstance(x, numpy.ndarray) and x.ndim == 0 and _is(float(x), value)


def _neutral(value: float, *, left: bool) -> Any:
    """op(x, value) is x, and op(value, x) too if `left`."""

    def rule(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        slim = _without_spreading(trace, args)
        x, y = slim
        if _is(y, value) and _same(x, args):
            return x
        if left and _is(x, value) and _same(y, args):
            return y
        return primitive, slim, params

    return rule


def _same(x: Any, args: tuple[Any, ...]) -> bool:
    """Whether x has the shape and dtype that an elementwise operation on `args` gives; integers may turn to floats."""
    dtypes = [arg.dtype for arg in args if hasattr(arg, "dtype")]
    shape = broadcast_shapes(*(shape_of(arg) for arg in args))
    return isinstance(x, Box) and is_float(x) and x.shape == shape and all(dtype == x.dtype for dtype in dtypes)


def _identity(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    return args[0]


def _involution(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    maker, sources, _ = trace.origin(args[0])
    return sources[0] if maker is primitive and isinstance(sources[0], Box) else (primitive, args, params)


def _reshape(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    (x,), shape = args, params["shape"]
    maker, sources, _ = trace.origin(x)
    if maker is primitive:
        x = sources[0]
    return x if x.shape == shape else (primitive, (x,), params)


def _permute(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    (x,), axes = args, params["axes"]
    maker, sources, inner = trace.origin(x)
    if maker is primitive:
        x, axes = sources[0], tuple(inner["axes"][a] for a in axes)
    if axes == tuple(range(x.ndim)):
        return x
    moved = [a for a in axes if x.shape[a] != 1]
    if moved == sorted(moved):  # only axes of length 1 move: a reshape says the same, and is found again more often
        return rewrite(trace, structure.reshape, (x,), {"shape": tuple(x.shape[a] for a in axes)})
    return primitive, (x,), {"axes": axes}


def _broadcast(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    (x,), shape = args, params["shape"]
    maker, sources, _ = trace.origin(x)
    if maker is primitive:
        x = sources[0]
    return x if x.shape == shape else (primitive, (x,), params)


def _sum(trace: Any, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
    (x,), axis = args, params["axis"]
    if not is_float(x) or any(x.shape[a] != 1 for a in axis):
        return primitive, args, params
    shape = keepdims_shape(x.shape, axis) if params["keepdims"] else _removed(x.shape, axis)
    return rewrite(trace, structure.reshape, (x,), {"shape": shape})


def _removed(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axis)


RULES: dict[Primitive, Any] = {
    elementwise.multiply: _neutral(1.0, left=True),
    elementwise.divide: _neutral(1.0, left=False),
    elementwise.subtract: _neutral(0.0, left=False),
    elementwise.add: _neutral(-0.0, left=True),
    elementwise.negative: _involution,
    elementwise.positive: _identity,
    elementwise.stop_gradient: _identity,
    structure.reshape: _reshape,
    structure.permute: _permute,
    structure.broadcast_to: _broadcast,
    structure.sum_p: _sum,
}
