"""Python's operators, and the methods of NumPy's arrays, on boxes."""

from collections.abc import Callable
from typing import Any, NoReturn, cast

import numpy

from metaspec.errors import InvalidTypeError, UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh, twin, zero_dim
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array, Box, NoRuleError
from metaspec_numpy.tracer.functions import contractions
from metaspec_numpy.tracer.functions.indexing_functions import getitem
from metaspec_numpy.tracer.functions.writing import assign, setitem
from metaspec_numpy.tracer.namespace import array_namespace
from metaspec_numpy.tracer.numpy_api import choosing as selection
from metaspec_numpy.tracer.numpy_api import dispatch as protocol
from metaspec_numpy.tracer.numpy_api import reshaping as shapes
from metaspec_numpy.tracer.numpy_api import writes
from metaspec_numpy.tracer.numpy_api.refusals import instead_of
from metaspec_numpy.tracer.numpy_api.rule import RULES, guarded
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules.structure import astype, matrix_transpose
from metaspec_numpy.tracer.value_needed import no_value


def method(f: Callable[..., Any]) -> Callable[..., Any]:
    """A primitive is an object, and only functions turn into methods."""
    return lambda *args: f(*args)


def operator(name: str, f: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """A binary operator; where the other operand is no array, Python asks it for its own."""

    def apply(x: Any, y: Any) -> Any:
        if isinstance(y, str | bytes | dict | set) or y is None:
            return numpy.full(x.shape, name == "ne") if name in ("eq", "ne") else NotImplemented
        return f(x, y if not isinstance(y, list | tuple) else shapes.make(y))

    return apply


def swapped(f: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: f(y, x)


def in_place(f: Callable[..., Any]) -> Callable[[Box, Any], Any]:
    """`x += y` and the like: a scalar is bound anew, an array is written to, in its own dtype."""

    def update(x: Box, y: Any) -> Any:
        result = f(x, y)
        if result is NotImplemented or (x.shape == () and x.link is None):
            return result
        return assign(x, result)

    return update


def iterate(x: Any) -> Any:
    if not x.shape:
        raise InvalidTypeError("iteration over an array of rank 0")
    return iter([x[i] for i in range(x.shape[0])])


def length(x: Any) -> int:
    if not x.shape:
        raise InvalidTypeError("len() of an array of rank 0")
    return int(x.shape[0])


def as_type(
    x: Box, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    """`x.astype(dtype)`: a copy, unless `copy=False` and the dtype is x's."""
    if isinstance(dtype, str | type):
        dtype = numpy.dtype(dtype)
    if casting != "unsafe" and not numpy.can_cast(x.dtype, dtype, cast(Any, casting)):
        raise InvalidTypeError(f"astype: {x.dtype} to {dtype} is no cast of kind {casting!r}")
    out = astype(x, dtype)
    return out if out is x and not copy else duplicate(out)


def duplicate(x: Box, order: str = "C") -> Box:
    """`x.copy()`; of a scalar a scalar."""
    new = twin(x)
    return new if x.link is None else zero_dim(new)


def reshape_method(x: Array, *shape: Any, order: str = "C", copy: bool | None = None) -> Array:
    out = guarded("numpy.ndarray.reshape", shapes.reshape, x, shape[0] if len(shape) == 1 else shape, order)
    return fresh(out) if copy else out


def transpose_method(x: Array, *axes: Any) -> Array:
    order = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)) else axes
    return shapes.transpose(x, order or None)


def divide_with_remainder(x: Any, y: Any) -> tuple[Any, Any]:
    return rules.floor_divide(x, y), rules.remainder(x, y)


def set_real(x: Box, value: Any) -> None:
    assign(x, value)


def unset(name: str, instead: str) -> property:
    """An attribute of NumPy's arrays that has no rule; nothing is bound to its name."""

    def refuse(x: Box, value: Any = None) -> NoReturn:
        raise NoRuleError(f"setting {name!r} of a traced array (numpy.ndarray.{name}): {instead}")

    return property(lambda x: lacking(x, name), refuse)


def formatted(x: Box, spec: str) -> str:
    return format(repr(x), "" if spec.endswith(("f", "e", "g", "%", "d", "n")) else spec)


def unpickled(x: Box, protocol: Any) -> NoReturn:
    raise UnsupportedError("a traced array cannot be pickled, or copied by pickling: copy.copy(x) and x.copy() copy it")


def lacking(x: Box, name: str) -> NoReturn:
    if name in _ARRAY_ATTRIBUTES:
        raise NoRuleError(f"a traced array has no {name!r} (numpy.ndarray.{name}): {instead_of(name)}")
    raise NoRuleError(f"a traced array (of the NumPy backend) has no attribute {name!r}")


_ARRAY_ATTRIBUTES = frozenset(dir(numpy.ndarray))

BINARY: dict[str, Callable[..., Any]] = {
    "add": rules.add,
    "sub": rules.subtract,
    "mul": rules.multiply,
    "truediv": rules.divide,
    "floordiv": rules.floor_divide,
    "mod": rules.remainder,
    "pow": rules.power,
    "matmul": contractions.matmul,
    "and": rules.bitwise_and,
    "or": rules.bitwise_or,
    "xor": rules.bitwise_xor,
    "lshift": rules.bitwise_left_shift,
    "rshift": rules.bitwise_right_shift,
}
COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": rules.equal,
    "ne": rules.not_equal,
    "lt": rules.less,
    "le": rules.less_equal,
    "gt": rules.greater,
    "ge": rules.greater_equal,
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": rules.negative,
    "pos": rules.positive,
    "abs": rules.absolute,
    "invert": rules.bitwise_invert,
}
METHODS: dict[str, Callable[..., Any]] = {
    **{name: protocol.method(name) for name in protocol.METHODS.split()},
    "astype": as_type,
    "clip": lambda x, *args, **options: RULES[numpy.clip]((x, *args), options, "numpy.ndarray.clip"),
    "conj": conjugate,
    "conjugate": conjugate,
    "copy": duplicate,
    "fill": writes.fill,
    "flatten": shapes.flatten,
    "put": writes.put_method,
    "ravel": shapes.ravel,
    "reshape": reshape_method,
    "sort": writes.sort,
    "transpose": transpose_method,
}
SPECIAL: dict[str, Any] = {
    "__array_namespace__": lambda x, *, api_version=None: array_namespace(x),
    "__array_ufunc__": protocol.array_ufunc,
    "__array_function__": protocol.array_function,
    "__array__": no_value("numpy.asarray()"),
    "__bool__": no_value("bool()"),
    "__complex__": no_value("complex()"),
    "__copy__": duplicate,
    "__deepcopy__": lambda x, memo: duplicate(x),
    "__divmod__": divide_with_remainder,
    "__rdivmod__": lambda x, y: divide_with_remainder(y, x),
    "__format__": formatted,
    "__float__": no_value("float()"),
    "__getattr__": lacking,
    "__index__": no_value("index()"),
    "__int__": no_value("int()"),
    "__getitem__": getitem,
    "__hash__": None,
    "__iter__": iterate,
    "__len__": length,
    "__repr__": lambda x: f"<traced array, shape {x.shape}, dtype {x.dtype}>",
    "__reduce_ex__": unpickled,
    "__round__": lambda x, decimals=0: selection.round_to(x, decimals or 0),
    "__setitem__": setitem,
    "item": no_value("item()"),
    "tolist": no_value("tolist()"),
    "T": property(shapes.reverse),
    "data": unset("data", "write x[...] = value"),
    "flat": property(lambda x: lacking(x, "flat"), writes.set_flat),
    "imag": property(lambda x: conjugate(x) * 0),
    "mT": property(matrix_transpose),
    "nbytes": property(lambda x: x.size * x.dtype.itemsize),
    "itemsize": property(lambda x: x.dtype.itemsize),
    "real": property(conjugate, set_real),
    "strides": unset("strides", "write x.reshape(shape) or np.transpose(x, axes)"),
}


def install() -> None:
    """Puts the tables on the class of all boxes."""
    for name, f in (COMPARISONS | UNARY).items():
        setattr(Box, f"__{name}__", method(f) if name in UNARY else operator(name, f))
    for name, f in BINARY.items():
        apply = operator(name, f)
        setattr(Box, f"__{name}__", apply)
        setattr(Box, f"__r{name}__", operator(name, swapped(f)))
        setattr(Box, f"__i{name}__", in_place(apply))
    for name, value in (METHODS | SPECIAL).items():
        setattr(Box, name, value)
