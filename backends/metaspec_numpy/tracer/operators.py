"""Python's operators, and the methods of NumPy's arrays, on boxes."""

from collections.abc import Callable
from typing import Any, NoReturn

from metaspec.errors import InvalidTypeError
from metaspec_numpy.tracer import numpy_names
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions import contractions, elementwise, reductions, shaping
from metaspec_numpy.tracer.aliasing import fresh, twin
from metaspec_numpy.tracer.functions.indexing import getitem
from metaspec_numpy.tracer.functions.writing import assign, setitem
from metaspec_numpy.tracer.namespace import array_namespace
from metaspec_numpy.tracer.rules import elementwise as rules
from metaspec_numpy.tracer.rules.structure import astype, matrix_transpose


def method(f: Callable[..., Any]) -> Callable[..., Any]:
    """A primitive is an object, and only functions turn into methods."""
    return lambda *args: f(*args)


def swapped(f: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: f(y, x)


def no_value(kind: str) -> Callable[[Box], NoReturn]:
    def refuse(x: Box) -> NoReturn:
        raise InvalidTypeError(
            f"{kind} of a traced array of shape {x.shape}: its value is not known while a derivative, a batch or a "
            "recording is being traced. Choose between arrays with xp.where(condition, a, b) in place of `if`, keep "
            "arithmetic in arrays in place of float() and int(), put arrays together with xp.stack, and ask "
            "is_concrete(x) where both ways are to be had."
        )

    return refuse


def in_place(f: Callable[..., Any]) -> Callable[[Box, Any], Any]:
    """`x += y` and the like: a scalar is bound anew, an array is written to, in its own dtype."""

    def update(x: Box, y: Any) -> Any:
        return f(x, y) if x.shape == () and x.link is None else assign(x, f(x, y))

    return update


def iterate(x: Any) -> Any:
    if not x.shape:
        raise InvalidTypeError("iteration over an array of rank 0")
    return iter(shaping.unstack(x))


def transpose(x: Array) -> Array:
    return shaping.permute_dims(x, range(x.ndim)[::-1])


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
    "astype": astype,
    "clip": elementwise.clip,
    "flatten": shaping.flatten,
    "ravel": shaping.flatten,
    "repeat": numpy_names.repeat,
    "round": numpy_names.round_to,
    "squeeze": shaping.squeeze,
    "swapaxes": shaping.swapaxes,
    "take": numpy_names.take,
    "argmax": numpy_names.reduction(reductions.argmax),
    "argmin": numpy_names.reduction(reductions.argmin),
    "argsort": numpy_names.argsort,
    "all": numpy_names.reduction(reductions.all),
    "any": numpy_names.reduction(reductions.any),
    "cumsum": numpy_names.cumulation(reductions.cumulative_sum),
    "cumprod": numpy_names.cumulation(reductions.cumulative_prod),
    "dot": contractions.dot,
    "max": numpy_names.reduction(reductions.max),
    "mean": numpy_names.reduction(reductions.mean),
    "min": numpy_names.reduction(reductions.min),
    "prod": numpy_names.reduction(reductions.prod),
    "std": numpy_names.spread(reductions.std),
    "sum": numpy_names.reduction(reductions.sum),
    "var": numpy_names.spread(reductions.var),
    "reshape": numpy_names.reshape_method,
    "transpose": numpy_names.transpose_method,
    "copy": lambda x, order="C": twin(x),
}
SPECIAL: dict[str, Any] = {
    "__array_namespace__": lambda x, *, api_version=None: array_namespace(x),
    "__array_ufunc__": numpy_names.array_ufunc,
    "__array_function__": numpy_names.array_function,
    "__array__": no_value("numpy.asarray()"),
    "__bool__": no_value("bool()"),
    "__complex__": no_value("complex()"),
    "__float__": no_value("float()"),
    "__index__": no_value("index()"),
    "__int__": no_value("int()"),
    "__getitem__": getitem,
    "__hash__": None,
    "__iter__": iterate,
    "__len__": lambda x: x.shape[0],
    "__repr__": lambda x: f"<traced array, shape {x.shape}, dtype {x.dtype}>",
    "__setitem__": setitem,
    "item": no_value("item()"),
    "tolist": no_value("tolist()"),
    "T": property(transpose),
    "mT": property(matrix_transpose),
}


def install() -> None:
    """Puts the tables on the class of all boxes."""
    for name, f in (BINARY | COMPARISONS | UNARY).items():
        setattr(Box, f"__{name}__", method(f))
    for name, f in BINARY.items():
        setattr(Box, f"__r{name}__", swapped(f))
        setattr(Box, f"__i{name}__", in_place(f))
    for name, value in (METHODS | SPECIAL).items():
        setattr(Box, name, value)
