"""Statistics, searching, sorting and cumulative functions."""

from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.complex_values import is_complex
from metaspec_numpy.tracer.core import Array, namespace_of, raw_value
from metaspec_numpy.tracer.functions.indexing_functions import take_along_axis
from metaspec_numpy.tracer.functions.shaping import concat, cut, expand_dims, flip, is_inexact, reshape, squeeze
from metaspec_numpy.tracer.outputs import as_array
from metaspec_numpy.tracer.rules import reduction_rules as rules
from metaspec_numpy.tracer.rules.elementwise_rules import (
    absolute,
    equal,
    exp,
    isfinite,
    log,
    sqrt,
    square,
    stop_gradient,
    where,
)
from metaspec_numpy.tracer.rules.structure import astype, count, normalize_axes, normalize_axis, sum_p

Axis = int | tuple[int, ...] | None


def sum(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """The sum over `axis`."""
    x = as_array(x)
    x = x if dtype is None else astype(x, dtype)
    total = sum_p(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)
    return total if dtype is None else astype(total, dtype)  # sums of small integers are of 64 bits


def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis` divided by the number of its terms."""
    x = as_array(x)
    if not is_inexact(x):
        x = astype(x, namespace_of(x).float64)
    axes = normalize_axes(axis, x.ndim)
    return sum_p(x, axis=axes, keepdims=keepdims) / count(x.shape, axes)


def var(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The mean square deviation from the mean, with n - correction in the denominator."""
    axes = normalize_axes(axis, x.ndim)
    deviation = x - mean(x, axis=axes, keepdims=True)
    return sum_p(squared(deviation), axis=axes, keepdims=keepdims) / (count(x.shape, axes) - correction)


def squared(x: Array) -> Array:
    """The square of the absolute value, which of complex numbers is not the square."""
    return square(absolute(x) if is_complex(x) else x)


def std(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The square root of the variance; its derivative is 0 where it is 0."""
    return safe_sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def safe_sqrt(x: Array) -> Array:
    """The square root of x >= 0, with all derivatives 0 at 0, by the convention for norms."""
    zero = equal(x, 0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


def prod(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """The product over `axis`, by halves: every derivative is right where factors are zero, and no rule is needed."""
    x = _wide(x, dtype)
    axes = normalize_axes(axis, x.ndim)
    for a in axes:
        if x.shape[a] == 0:
            x = namespace_of(x).ones(tuple(1 if i == a else n for i, n in enumerate(x.shape)), dtype=x.dtype)
        while x.shape[a] > 1:
            half = x.shape[a] // 2
            paired = cut(x, a, 0, half) * cut(x, a, half, 2 * half)
            x = concat([paired, cut(x, a, 2 * half, None)], axis=a) if x.shape[a] % 2 else paired
    return x if keepdims else squeeze(x, axes)


def max(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over `axis`; ties share the derivative equally."""
    return rules.max_p(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)


def min(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; ties share the derivative equally."""
    return rules.min_p(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)


def any(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether an element over `axis` is true."""
    return rules.any_p(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)


def all(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are true."""
    return rules.all_p(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)


def count_nonzero(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The number of elements over `axis` that are not zero."""
    return sum(astype(x != 0, namespace_of(x).int64), axis=axis, keepdims=keepdims)


def _search(primitive: Any, x: Array, axis: int | None, keepdims: bool) -> Array:
    if axis is None:
        rank = x.ndim
        found = primitive(reshape(x, -1), axis=0)
        return reshape(found, (1,) * rank) if keepdims else found
    axis = normalize_axis(axis, x.ndim)
    found = primitive(x, axis=axis)
    return expand_dims(found, axis=axis) if keepdims else found


def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the first of the largest elements is."""
    return _search(rules.argmax_p, x, axis, keepdims)


def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the first of the smallest elements is."""
    return _search(rules.argmin_p, x, axis, keepdims)


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort `x` along `axis`; equal elements keep their order."""
    axis = normalize_axis(axis, x.ndim)
    if not descending:
        return rules.argsort_p(x, axis=axis, stable=stable)
    back = rules.argsort_p(flip(x, axis=axis), axis=axis, stable=stable)
    return x.shape[axis] - 1 - flip(back, axis=axis)


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The elements of `x` in order along `axis`."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def _wide(x: Array, dtype: Any) -> Array:
    """`x` in the dtype of its products: 64 bits where none is given and it is of integers."""
    xp = namespace_of(x)
    if dtype is None and not is_inexact(x):
        dtype = xp.uint64 if xp.isdtype(raw_value(x).dtype, "unsigned integer") else xp.int64
    return x if dtype is None else astype(x, dtype)


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    """The sums of the first 1, 2, ... elements along `axis`."""
    x, axis = _along(x, axis, dtype)
    total = rules.cumsum_p(x, axis=axis, reverse=False)
    total = total if dtype is None else astype(total, dtype)
    return _with_initial(total, axis, 0) if include_initial else total


def cumulative_prod(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
    """The products of the first 1, 2, ... elements along `axis`, by doubling steps that are right at zeros too."""
    x, axis = _along(_wide(x, dtype), axis, None)
    step = 1
    while step < x.shape[axis]:
        x = concat([cut(x, axis, None, step), cut(x, axis, step, None) * cut(x, axis, None, -step)], axis=axis)
        step *= 2
    return _with_initial(x, axis, 1) if include_initial else x


def _along(x: Array, axis: int | None, dtype: Any) -> tuple[Array, int]:
    if dtype is not None:
        x = astype(x, dtype)
    if axis is None:
        if x.ndim > 1:
            raise InvalidArgumentError(f"axis is needed for an array of rank {x.ndim}")
        axis = 0
    return x, normalize_axis(axis, x.ndim)


def _with_initial(x: Array, axis: int, value: int) -> Array:
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return concat([namespace_of(x).full(shape, value, dtype=x.dtype), x], axis=axis)


def diff(x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Array:
    """The n-th differences of neighbours along `axis`, which `prepend` and `append` lengthen first."""
    axis = normalize_axis(axis, x.ndim)
    pieces = [piece for piece in (prepend, x, append) if piece is not None]
    x = concat(pieces, axis=axis) if len(pieces) > 1 else x
    for _ in range(n):
        x = cut(x, axis, 1, None) - cut(x, axis, None, -1)
    return x


def logsumexp(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))), without overflow at any order of derivative."""
    axes = normalize_axes(axis, x.ndim)
    if not count(x.shape, axes):
        return log(sum_p(x, axis=axes, keepdims=keepdims))
    top = _top(x, axes)
    total = log(sum_p(exp(x - top), axis=axes, keepdims=True)) + top
    return total if keepdims else squeeze(total, axes)


def softmax(x: Array, /, *, axis: Axis = -1) -> Array:
    """exp(x) / sum(exp(x))."""
    axes = normalize_axes(axis, x.ndim)
    weights = exp(x - _top(x, axes))
    return weights / sum_p(weights, axis=axes, keepdims=True)


def log_softmax(x: Array, /, *, axis: Axis = -1) -> Array:
    """log(softmax(x)), exact where the softmax underflows."""
    axes = normalize_axes(axis, x.ndim)
    shifted = x - _top(x, axes)
    return shifted - log(sum_p(exp(shifted), axis=axes, keepdims=True))


def _top(x: Array, axes: tuple[int, ...]) -> Array:
    top = rules.max_p(stop_gradient(x), axis=axes, keepdims=True)
    return where(isfinite(top), top, 0.0)
