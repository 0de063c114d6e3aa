"""Levels, boxes and primitives: the part of the tracer that knows no rule.

Every transformation opens a *trace* with a level of its own, higher than all before it. It runs the user's function on
*boxes*, each of which holds a value of a lower level. A *primitive* that meets boxes hands itself to the trace of the
highest level among its arguments; that trace unwraps its own boxes, applies the primitive's rule, and the rule calls
primitives again, one level further down, until only raw arrays are left. So transformations nest in any order.
"""

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from metaspec.errors import InvalidTypeError, LossError, UnsupportedError
from metaspec_numpy.tracer.links import Link

Array = Any
Params = dict[str, Any]
Shape = tuple[int, ...]
NUMPY = (numpy.ndarray, numpy.generic)
PLAIN_ARRAYS = (numpy.ndarray, numpy.memmap, numpy.recarray)

_levels = itertools.count(1)


class Trace(ABC):
    """One running transformation; levels only ever grow, so that a box that outlives its trace is never mistaken."""

    __slots__ = ("box", "level", "over")

    def __init__(self, box: type["Box"], inputs: Sequence[Any]) -> None:
        self.box: type[Any] = box_type(box, inputs)
        self.level = next(_levels)
        self.over = False  # once it is, whoever still holds one of its boxes has taken it out of the traced function

    @abstractmethod
    def process(self, primitive: "Primitive", args: tuple[Any, ...], params: Params) -> Any:
        """Applies the primitive to arguments of which at least one is a box of this trace."""


class Box:
    """An array as a trace sees it; operators and methods are given to it in `operators`.

    Attributes:
        link: how it shares memory with others; None where it does not.

    It has no __slots__, so that a class may derive from it and from an array class that has them (see `box_type`).
    """

    link: Link | None = None

    def __init__(self, trace: Trace, value: Array) -> None:
        self.owner = trace
        self.value = value

    @property
    def __class__(self) -> type:  # a loss that asks isinstance(x, np.ndarray) takes the way that it takes untraced
        return numpy.ndarray

    @__class__.setter
    def __class__(self, value: type) -> None:
        vars(object)["__class__"].__set__(self, value)

    @property
    def shape(self) -> Shape:
        shape: Shape = self.value.shape
        return shape

    @shape.setter
    def shape(self, value: Any) -> None:
        raise shape_is_set()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        raise UnsupportedError("setting the dtype of a traced array: bind a new one, x = x.astype(dtype)")

    @property
    def device(self) -> Any:
        return self.value.device


class Primitive:
    """An operation with a row in each table of rules.

    Attributes:
        impl: `impl(xp, *args, **params)`, the operation on raw arrays of the namespace xp.
        jvp: `jvp(tangents, out, *args, **params)`; a tangent is None where it is zero, and so may the result be.
            Where the rule is None the primitive has derivative zero everywhere.
        vjp: `vjp(argnum, g, out, *args, **params)`: the cotangent of argument `argnum`; None where it is zero.
        batch: `batch(size, flags, args, params)`: where flags[i], args[i] has a leading batch axis of that size; so has
            the result.
        undo: None, except where the result is a view of the argument: `undo(x, new, **params)` is x after `new` was
            written to the view.
    """

    __slots__ = ("batch", "impl", "jvp", "name", "undo", "vjp")

    def __init__(
        self,
        name: str,
        impl: Callable[..., Array],
        *,
        jvp: Callable[..., Array | None] | None = None,
        vjp: Callable[..., Array | None] | None = None,
        batch: Callable[[int, Sequence[bool], Sequence[Any], Params], Array],
        undo: Callable[..., Array] | None = None,
    ) -> None:
        if name in PRIMITIVES:
            raise ValueError(f"the primitive {name!r} exists already")
        self.name, self.impl, self.jvp, self.vjp, self.batch, self.undo = name, impl, jvp, vjp, batch, undo
        PRIMITIVES[name] = self

    def __call__(self, *args: Any, **params: Any) -> Any:
        top: Trace | None = None
        for arg in args:
            if isinstance(arg, Box):
                if arg.link is not None:
                    arg.link.settle(arg)
                if top is None or arg.owner.level > top.level:
                    top = arg.owner
            elif type(arg) not in PLAIN_ARRAYS and isinstance(arg, numpy.ndarray):
                raise InvalidTypeError(
                    f"{self.name} of a traced array and a {type(arg).__module__}.{type(arg).__name__}, which has "
                    "arithmetic of its own: a matrix multiplies by *, a masked array skips entries. Write "
                    "np.asarray(it), with @ for the product and np.where(mask, ...) for the mask"
                )
        if top is not None:
            if top.over:
                raise left_over()
            out = top.process(self, args, params)
            if self.undo is not None and isinstance(out, Box):
                x = args[0]
                out.link = Link(x, self, params) if x.link is None else x.link.view(x, self, params)
            return out
        return self.impl(raw_namespace(args), *args, **params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


PRIMITIVES: dict[str, Primitive] = {}


@functools.cache
def _preferred(box: Any, raw: Any) -> type[Box]:
    # Python asks the right operand first where its class derives from the left operand's. Without this, arrays that
    # raise TypeError on operands that they do not know (array_api_strict) would never let a box on the right answer.
    namespace = {"__new__": lambda cls, *args: object.__new__(cls)}
    preferred: type[Box] = type(box.__name__, (box, raw), namespace)
    return preferred


def box_type(box: Any, values: Sequence[Any]) -> Any:
    """The class of boxes to use among arrays like `values`, so that operators between the two reach the box."""
    for value in values:
        raw = raw_value(value)
        if not is_numpy(raw) and hasattr(raw, "__array_namespace__"):
            kind: Any = type(raw)
            return _preferred(box, kind)
    return box


def raw_namespace(args: Sequence[Any]) -> Any:
    """The namespace of the first array among `args`; NumPy where there are Python scalars only."""
    for arg in args:
        if is_numpy(arg):
            return numpy
        if hasattr(arg, "__array_namespace__"):
            return arg.__array_namespace__()
    return numpy


def raw_value(x: Any) -> Any:
    """What lies under all boxes of `x`: for its namespace and dtype only, as the axes of all batches are on it."""
    while isinstance(x, Box):
        x = x.value
    return x


def namespace_of(*args: Any) -> Any:
    """The raw namespace that arrays and boxes belong to."""
    return raw_namespace([raw_value(arg) for arg in args])


def shape_of(x: Any) -> Shape:
    """The shape of an array, a box or a Python scalar."""
    return x.shape if hasattr(x, "shape") else ()


def shape_is_set() -> UnsupportedError:
    """The error for `x.shape = shape`."""
    return UnsupportedError("setting the shape of a traced array: bind a new one, x = x.reshape(shape)")


def left_over() -> LossError:
    """The error for an array that outlived the transformation which it was traced for."""
    return LossError(
        "loss: it uses an array that was traced in an earlier call, for a derivative, a batch or a recording that is "
        "over: it keeps arrays in a cache, a list, an attribute or a global. Compute it anew in each call, or pass it "
        "in through params or batch; functools.lru_cache is for what does not depend on them"
    )


class NoRuleError(UnsupportedError, AttributeError):
    """A traced array, or the namespace of traced arrays, has no such attribute; `hasattr` is False."""


def is_numpy(x: Any) -> bool:
    """Whether `x` is an array or scalar of NumPy's; boxes, which pass for arrays with `isinstance`, are not."""
    return issubclass(type(x), NUMPY)


def is_concrete(x: Any) -> bool:
    """False for a box of any kind: its value is not there for Python control flow."""
    return not isinstance(x, Box)


def is_float(x: Any) -> bool:
    """Whether `x` is an array or box of a real floating-point dtype, the only kind that carries derivatives."""
    raw = raw_value(x)
    if is_numpy(raw):
        return bool(raw.dtype.kind == "f")
    return hasattr(raw, "dtype") and bool(raw_namespace([raw]).isdtype(raw.dtype, "real floating"))
