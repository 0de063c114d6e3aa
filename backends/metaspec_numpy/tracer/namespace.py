"""The array API namespace of the tracer: names as the standard has them, on raw arrays and boxes alike."""

import functools
from types import SimpleNamespace
from typing import Any

import numpy

from metaspec_numpy.tracer.aliasing import fresh
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array, Box, NoRuleError, Primitive, namespace_of, raw_namespace, raw_value
from metaspec_numpy.tracer.functions import (
    contractions,
    shaping,
)
from metaspec_numpy.tracer.functions import (
    elementwise_functions as elementwise,
)
from metaspec_numpy.tracer.functions import (
    indexing_functions as indexing,
)
from metaspec_numpy.tracer.functions import (
    linalg_functions as linalg,
)
from metaspec_numpy.tracer.functions import (
    reduction_functions as reductions,
)
from metaspec_numpy.tracer.outputs import as_array
from metaspec_numpy.tracer.rules import elementwise_rules as rules
from metaspec_numpy.tracer.rules import structure

ELEMENTWISE = """
    add subtract multiply divide remainder negative positive reciprocal square sqrt hypot exp expm1 log log1p log2 log10
    logaddexp sigmoid softplus sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh maximum minimum
    floor_divide sign floor ceil trunc isfinite isinf isnan signbit copysign equal not_equal less
    less_equal greater greater_equal logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor
    bitwise_invert bitwise_left_shift bitwise_right_shift
"""
SHAPING = """
    reshape broadcast_to broadcast_shapes broadcast_arrays permute_dims swapaxes moveaxis expand_dims squeeze concat
    stack unstack split flip roll repeat tile pad tril triu meshgrid
"""
REDUCTIONS = """
    sum mean var std prod max min any all count_nonzero argmax argmin argsort sort cumulative_sum cumulative_prod diff
    logsumexp softmax log_softmax
"""
CONTRACTIONS = "matmul vecdot tensordot"
INDEXING = "take take_along_axis"
STRUCTURE = "astype matrix_transpose"
OTHERS = {
    "abs": rules.absolute,
    "pow": rules.power,
    "round": rules.round_,
    "clip": elementwise.clip,
    "stop_gradient": elementwise.stop_gradient,
    "where": elementwise.where,
}

# No derivative and no box in them, or dtypes and numbers: taken as they are.
TAKEN = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 longdouble complex64 complex128
    e inf nan newaxis pi arange empty eye full linspace ones zeros searchsorted nonzero unique_values isdtype can_cast
    __array_api_version__ __array_namespace_info__
"""


class Namespace(SimpleNamespace):
    """A namespace that names what it lacks."""

    def __getattr__(self, name: str) -> Any:
        raise NoRuleError(
            f"{self.__dict__['__name__']} has no {name!r}: there is no rule for it. Compose it of the functions that "
            "are there, or take it from the raw namespace for arrays that are not differentiated, batched or recorded."
        )


@functools.cache
def namespace(raw: Any) -> Any:
    """The namespace whose functions take the arrays of `raw` (numpy, array_api_strict, ...) and boxes around them."""
    names: dict[str, Any] = {name: getattr(raw, name) for name in TAKEN.split() if hasattr(raw, name)}
    tables = (
        (ELEMENTWISE, rules),
        (SHAPING, shaping),
        (REDUCTIONS, reductions),
        (CONTRACTIONS, contractions),
        (INDEXING, indexing),
        (STRUCTURE, structure),
    )
    names |= {name: _public(name, getattr(module, name)) for table, module in tables for name in table.split()}
    names |= OTHERS
    names["linalg"] = Namespace(__name__="linalg", **{f.__name__: _public(f.__name__, f) for f in linalg.FUNCTIONS})
    names |= _bound(raw)
    names["real"], names["imag"], names["conj"] = (_real_part(name) for name in ("real", "imag", "conj"))
    names["__name__"] = f"metaspec_numpy.tracer.namespace({raw.__name__})"
    return Namespace(**names)


VIEWS = """
    reshape broadcast_to broadcast_shapes broadcast_arrays permute_dims swapaxes moveaxis expand_dims squeeze unstack
    split flip matrix_transpose diagonal
"""


def _public(name: str, f: Any) -> Any:
    """The function as a user gets it: its result shares no memory with its arguments, unless it is to be a view."""
    if name in VIEWS.split() or isinstance(f, Primitive):
        return f

    @functools.wraps(f)
    def apart(*args: Any, **options: Any) -> Any:
        return fresh(f(*args, **options))

    return apart


def _real_part(name: str) -> Any:
    """`real`, `imag` or `conj`; boxes are real."""

    def part(x: Array, /) -> Array:
        if not isinstance(x, Box):
            return getattr(namespace_of(x), name)(x)
        x = conjugate(x)  # which refuses what is complex
        return namespace_of(x).zeros(x.shape, dtype=x.dtype) if name == "imag" else x

    part.__name__ = name
    return part


def _bound(raw: Any) -> dict[str, Any]:
    """The functions that create arrays or look at dtypes, which need to know the namespace."""

    def asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
        """An array, or the box itself; nested lists of boxes are stacked."""
        if _holds_boxes(x):
            x = x if isinstance(x, Box) else shaping.stack([asarray(part) for part in x])
            return x if dtype is None else structure.astype(x, dtype)
        return raw.asarray(x, dtype=dtype, device=device, copy=copy)

    def filled(value: Any, x: Array, dtype: Any) -> Array:
        dtype = x.dtype if dtype is None else dtype
        if isinstance(value, Box):
            return shaping.broadcast_to(structure.astype(value, dtype), x.shape)
        return raw.full(x.shape, value, dtype=dtype)

    def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
        if isinstance(fill_value, Box):
            value = fill_value if dtype is None else structure.astype(fill_value, dtype)
            return shaping.broadcast_to(value, shape)
        return raw.full(shape, fill_value, dtype=dtype, device=device)

    def full_like(x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
        return filled(fill_value, x, dtype)

    def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
        return filled(0, x, dtype)

    def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
        return filled(1, x, dtype)

    def finfo(kind: Any, /) -> Any:
        return raw.finfo(_dtype(kind))

    def iinfo(kind: Any, /) -> Any:
        return raw.iinfo(_dtype(kind))

    def result_type(*kinds: Any) -> Any:
        return raw.result_type(*[_dtype(kind) for kind in kinds])

    functions = (asarray, full, full_like, zeros_like, ones_like, finfo, iinfo, result_type)
    return {f.__name__: f for f in functions} | {"empty_like": zeros_like}


def _dtype(kind: Any) -> Any:
    """The dtype of an array or box; a dtype or a Python scalar is taken as it is."""
    raw = raw_value(kind)
    return kind if isinstance(raw, type) or not hasattr(raw, "dtype") else raw.dtype


def _holds_boxes(x: Any) -> bool:
    return isinstance(x, Box) or (isinstance(x, tuple | list) and any(_holds_boxes(part) for part in x))


def array_namespace(*xs: Any) -> Any:
    """The tracer's namespace for these arrays and boxes."""
    raws = [raw_value(as_array(x) if isinstance(x, numpy.generic) else x) for x in xs]
    return namespace(raw_namespace(raws))
