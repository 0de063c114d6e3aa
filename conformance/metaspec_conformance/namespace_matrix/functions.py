"""The functions of the array API standard (2024.12) that a portable loss may use, each as a function of one array.

Where a function gives no floating numbers, they weigh the argument, so that every cell has a derivative.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Array = Any
Expression = Callable[[Any, Array], Array]


@dataclass(frozen=True)
class Entry:
    """A function as it is asked: `f(xp, x)` of real numbers inside `low` .. `high`, of matrices where `square`.

    Attributes:
        axes: How many axes x must have, where NumPy itself lets scalars pass as vectors.
    """

    f: Expression
    low: float = -1.9
    high: float = 2.1
    square: bool = False
    axes: int = 0


def _named(names: str, low: float = -1.9, high: float = 2.1) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        return lambda xp, x: getattr(xp, name)(x)

    return {name: Entry(entry(name), low, high) for name in names.split()}


def _binary(names: str, low: float = -1.9, high: float = 2.1) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        return lambda xp, x: getattr(xp, name)(x, xp.flip(x) * 1.25 + 0.1)

    return {name: Entry(entry(name), low, high) for name in names.split()}


def _weighed(names: str) -> dict[str, Entry]:
    """Functions whose numbers are integers or booleans."""

    def entry(name: str) -> Expression:
        return lambda xp, x: xp.astype(getattr(xp, name)(x), x.dtype) * xp.sum(x * x)

    return {name: Entry(entry(name)) for name in names.split()}


def _compared(names: str) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        return lambda xp, x: xp.astype(getattr(xp, name)(x, xp.flip(x) + 0.1), x.dtype) * x

    return {name: Entry(entry(name)) for name in names.split()}


def _logical(names: str) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        return lambda xp, x: xp.astype(getattr(xp, name)(x > 0, xp.flip(x) > 0.2), x.dtype) * x

    return {name: Entry(entry(name)) for name in names.split()}


def _integral(names: str) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        def f(xp: Any, x: Array) -> Array:
            a = xp.astype(x > 0, xp.int32) + 1
            return xp.astype(getattr(xp, name)(a, xp.ones_like(a)), x.dtype) * x

        return f

    return {name: Entry(entry(name)) for name in names.split()}


def _made(names: str) -> dict[str, Entry]:
    def entry(name: str) -> Expression:
        return lambda xp, x: (getattr(xp, name)(x) + 1.0) * x * x

    return {name: Entry(entry(name)) for name in names.split()}


def _matrix(f: Expression) -> Entry:
    return Entry(f, square=True)


_WITH_AXES = ("repeat", "take", "cumulative_sum", "cumulative_prod", "argsort", "sort", "concat", "unstack", "diff")

ENTRIES: dict[str, Entry] = {
    **_named("abs atan asinh cos cosh exp expm1 negative positive sign sin sinh square tanh"),
    **_named("acos asin atanh tan", -0.9, 0.8),
    **_named("log log10 log2 reciprocal sqrt", 0.3, 3.0),
    **_named("log1p", -0.7, 2.0),
    **_named("acosh", 1.2, 3.0),
    **_named("ceil floor round trunc"),
    **_binary("add atan2 hypot logaddexp maximum minimum multiply subtract copysign remainder", 0.3, 2.7),
    **_binary("divide floor_divide pow", 0.3, 2.1),
    **_weighed("isfinite isinf isnan signbit all any argmax argmin count_nonzero"),
    **_compared("equal greater greater_equal less less_equal not_equal"),
    **_logical("logical_and logical_or logical_xor"),
    **_integral("bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"),
    **_made("ones_like zeros_like"),
    **_named("max mean min prod std sum var"),
    **_named("flip conj real"),
    "clip": Entry(lambda xp, x: xp.clip(x, -0.9, 1.1) * x),
    "clip with arrays": Entry(lambda xp, x: xp.clip(x, xp.zeros_like(x) - 0.9, xp.ones_like(x))),
    "logical_not": Entry(lambda xp, x: xp.astype(xp.logical_not(x > 0), x.dtype) * x),
    "bitwise_invert": Entry(lambda xp, x: xp.astype(xp.bitwise_invert(x > 0), x.dtype) * x),
    "where": Entry(lambda xp, x: xp.where(x > 0, x * x, -x)),
    "where with a number": Entry(lambda xp, x: xp.where(x > 0, x * x, 0.5)),
    "astype": Entry(lambda xp, x: xp.astype(x, xp.float64) ** 2),
    "full_like": Entry(lambda xp, x: xp.full_like(x, 2.0) * x * x),
    "maximum with a number": Entry(lambda xp, x: xp.maximum(x, 0.25) * x),
    "arange": Entry(lambda xp, x: xp.sum(x) ** 2 * xp.arange(3, dtype=x.dtype)),
    "linspace": Entry(lambda xp, x: xp.sum(x) ** 2 * xp.linspace(0.0, 1.0, 3, dtype=x.dtype)),
    "eye": Entry(lambda xp, x: xp.sum(x) ** 2 * xp.eye(3, dtype=x.dtype)),
    "zeros, ones, full": Entry(
        lambda xp, x: (
            (xp.zeros(2, dtype=x.dtype) + xp.ones(2, dtype=x.dtype) + xp.full(2, 0.5, dtype=x.dtype)) * xp.sum(x * x)
        )
    ),
    "asarray": Entry(lambda xp, x: xp.sum(x * x) * xp.asarray([1.0, 2.0], dtype=x.dtype)),
    "meshgrid": Entry(lambda xp, x: xp.meshgrid(xp.reshape(x, (-1,)), xp.reshape(x, (-1,)))[0] ** 2),
    "concat": Entry(lambda xp, x: xp.concat([x, x * x], axis=0)),
    "stack": Entry(lambda xp, x: xp.stack([x, x * x], axis=-1)),
    "unstack": Entry(lambda xp, x: xp.unstack(x, axis=-1)[0] ** 2),
    "expand_dims": Entry(lambda xp, x: xp.expand_dims(x, axis=0) ** 2),
    "squeeze": Entry(lambda xp, x: xp.squeeze(xp.expand_dims(x, axis=0), axis=0) ** 2),
    "reshape": Entry(lambda xp, x: xp.reshape(x * x, (-1,))),
    "permute_dims": Entry(lambda xp, x: xp.permute_dims(x * x, tuple(range(len(x.shape)))[::-1])),
    "moveaxis": Entry(lambda xp, x: xp.moveaxis(x * x, 0, -1)),
    "matrix_transpose": Entry(lambda xp, x: xp.matrix_transpose(x * x)),
    "broadcast_to": Entry(lambda xp, x: xp.broadcast_to(x * x, (2, *x.shape))),
    "broadcast_arrays": Entry(lambda xp, x: xp.broadcast_arrays(x * x, xp.expand_dims(x, axis=0))[0]),
    "repeat": Entry(lambda xp, x: xp.repeat(x * x, 2, axis=0)),
    "tile": Entry(lambda xp, x: xp.tile(x * x, (2,))),
    "roll": Entry(lambda xp, x: xp.roll(x * x, 1)),
    "roll along an axis": Entry(lambda xp, x: xp.roll(x * x, 1, axis=-1)),
    "take": Entry(lambda xp, x: xp.take(x * x, xp.asarray([0, 0], dtype=xp.int64), axis=0)),
    "take_along_axis": Entry(lambda xp, x: xp.take_along_axis(x * x, xp.argsort(x, axis=-1), axis=-1)),
    "argsort": Entry(lambda xp, x: xp.astype(xp.argsort(x, axis=-1), x.dtype) * x),
    "sort": Entry(lambda xp, x: xp.sort(x, axis=-1) ** 2),
    "sort descending": Entry(lambda xp, x: xp.sort(x, axis=-1, descending=True) ** 2),
    "searchsorted": Entry(
        lambda xp, x: xp.astype(xp.searchsorted(xp.asarray([-1.0, 0.0, 1.0], dtype=x.dtype), x), x.dtype) * x
    ),
    "cumulative_sum": Entry(lambda xp, x: xp.cumulative_sum(x, axis=-1) ** 2),
    "cumulative_sum with the initial": Entry(lambda xp, x: xp.cumulative_sum(x, axis=-1, include_initial=True) ** 2),
    "cumulative_prod": Entry(lambda xp, x: xp.cumulative_prod(x, axis=-1)),
    "diff": Entry(lambda xp, x: xp.diff(x, axis=-1) ** 2),
    "sum over an axis": Entry(lambda xp, x: xp.sum(x, axis=0, keepdims=True) ** 2),
    "max over an axis": Entry(lambda xp, x: xp.max(x, axis=-1) ** 2),
    "prod over an axis": Entry(lambda xp, x: xp.prod(x, axis=-1)),
    "mean over axes": Entry(lambda xp, x: xp.mean(x, axis=(0, 1), keepdims=True) ** 2),
    "var with a correction": Entry(lambda xp, x: xp.var(xp.concat([x, x * 2, x * x], axis=0), axis=0, correction=1)),
    "std over an axis": Entry(lambda xp, x: xp.std(xp.concat([x, x * 2 + 1, x * x], axis=0), axis=0)),
    "argmax over an axis": Entry(lambda xp, x: xp.astype(xp.argmax(x, axis=-1), x.dtype) + xp.sum(x * x)),
    "tril, triu": Entry(lambda xp, x: xp.tril(x * x) + 2 * xp.triu(x * x, k=1)),
    "matmul": Entry(lambda xp, x: xp.matmul(x, xp.matrix_transpose(x))),
    "matmul with a vector": Entry(lambda xp, x: xp.matmul(x, x[0, :])),
    "tensordot": Entry(lambda xp, x: xp.tensordot(x, x, axes=len(x.shape))),
    "vecdot": Entry(lambda xp, x: xp.vecdot(x, x)),
    "indexing": Entry(lambda xp, x: x[..., :1] * xp.flip(x)[..., 1:] ** 2 + x[None, ...][0, ...][..., :1]),
    "operators": Entry(lambda xp, x: (2 * x - x / 4 + 1) * -x + x**2),
    "linalg.cholesky": _matrix(lambda xp, x: xp.linalg.cholesky(xp.matmul(x, xp.matrix_transpose(x)))),
    "linalg.cross": Entry(
        lambda xp, x: xp.linalg.cross(xp.stack([x, x * x, x + 1], axis=-1), xp.stack([x, x, x * 2], axis=-1))
    ),
    "linalg.det": _matrix(lambda xp, x: xp.linalg.det(x)),
    "linalg.diagonal": Entry(lambda xp, x: xp.linalg.diagonal(x) ** 2),
    "linalg.eigh": _matrix(lambda xp, x: xp.linalg.eigh((x + xp.matrix_transpose(x)) / 2)[0] ** 2),
    "linalg.eigvalsh": _matrix(lambda xp, x: xp.linalg.eigvalsh((x + xp.matrix_transpose(x)) / 2) ** 2),
    "linalg.inv": _matrix(lambda xp, x: xp.linalg.inv(x)),
    "linalg.matrix_norm": Entry(lambda xp, x: xp.linalg.matrix_norm(x)),
    "linalg.matrix_power": _matrix(lambda xp, x: xp.linalg.matrix_power(x, 3)),
    "linalg.outer": Entry(lambda xp, x: xp.linalg.outer(xp.reshape(x, (-1,)), xp.reshape(x * x, (-1,)))),
    "linalg.pinv": _matrix(lambda xp, x: xp.linalg.pinv(x)),
    "linalg.qr": _matrix(lambda xp, x: xp.abs(xp.linalg.qr(x)[1])),
    "linalg.slogdet": _matrix(lambda xp, x: xp.linalg.slogdet(x)[1]),
    "linalg.solve": _matrix(lambda xp, x: xp.linalg.solve(x, x * x)),
    "linalg.svdvals": _matrix(lambda xp, x: xp.linalg.svdvals(x)),
    "linalg.trace": Entry(lambda xp, x: xp.linalg.trace(x) ** 2),
    "linalg.vector_norm": Entry(lambda xp, x: xp.linalg.vector_norm(x)),
    "linalg.vector_norm of 1": Entry(lambda xp, x: xp.linalg.vector_norm(x, ord=1, axis=-1)),
}

for _name, _entry in ENTRIES.items():
    if "axis" in _name or _name in _WITH_AXES:
        ENTRIES[_name] = replace(_entry, axes=1)
