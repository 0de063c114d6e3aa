"""NumPy's products and polynomials."""

import functools
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions import contractions, einsum, shaping
from metaspec_numpy.tracer.functions import linalg_functions as linalg
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.rules.structure import astype, normalize_axis

rule(numpy.dot)(lambda a, b: contractions.dot(array(a), array(b)))
rule(numpy.outer, numpy.linalg.outer)(lambda a, b: contractions.outer(array(a), array(b)))
rule(numpy.vdot)(lambda a, b: contractions.dot(shaping.reshape(conjugate(array(a)), -1), shaping.reshape(array(b), -1)))
rule(numpy.tensordot, numpy.linalg.tensordot)(
    lambda a, b, axes=2: contractions.tensordot(array(a), array(b), axes=_axes(axes))
)
rule(numpy.linalg.matmul)(lambda x1, x2: contractions.matmul(array(x1), array(x2)))
rule(numpy.linalg.vecdot)(lambda x1, x2, axis=-1: contractions.vecdot(array(x1), array(x2), axis=axis))
rule(numpy.linalg.cross)(lambda x1, x2, axis=-1: linalg.cross(array(x1), array(x2), axis=axis))


def _axes(axes: Any) -> Any:
    return axes if isinstance(axes, int) else tuple(tuple(a) if isinstance(a, list | tuple) else a for a in axes)


@rule(numpy.einsum, view=True)  # of one operand without sums: its diagonal, its transpose
def einsum_(*operands: Any, optimize: Any = False) -> Array:
    if not isinstance(operands[0], str):
        raise UnsupportedError("einsum: operands with lists of labels have no rule; write the subscripts as text")
    return einsum.einsum(operands[0], *_of_one_dtype(operands[1:]))


def _of_one_dtype(operands: Any) -> list[Array]:
    """The operands in their common dtype: a product of two of several small integers would overflow before."""
    given = [array(x) for x in operands]
    return [astype(x, numpy.result_type(*(x.dtype for x in given))) for x in given]


@rule(numpy.inner)
def inner(a: Any, b: Any) -> Array:
    a, b = array(a), array(b)
    return a * b if not a.ndim or not b.ndim else contractions.tensordot(a, b, axes=((-1,), (-1,)))


@rule(numpy.kron)
def kron(a: Any, b: Any) -> Array:
    a, b = array(a), array(b)
    rank = max(a.ndim, b.ndim)
    a, b = (shaping.reshape(x, (1,) * (rank - x.ndim) + x.shape) for x in (a, b))
    left = shaping.expand_dims(a, axis=tuple(range(1, 2 * rank, 2)))
    right = shaping.expand_dims(b, axis=tuple(range(0, 2 * rank, 2)))
    return shaping.reshape(left * right, tuple(n * m for n, m in zip(a.shape, b.shape, strict=True)))


@rule(numpy.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    a, b = array(a), array(b)
    if axis is not None:
        axisa = axisb = axisc = axis
    if a.shape[axisa] != 3 or b.shape[axisb] != 3:
        raise InvalidArgumentError(f"both vectors need length 3; they have {a.shape[axisa]} and {b.shape[axisb]}")
    out = linalg.cross(shaping.moveaxis(a, axisa, -1), shaping.moveaxis(b, axisb, -1))
    return shaping.moveaxis(out, -1, normalize_axis(axisc, out.ndim))


@rule(numpy.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Array:
    a, v = array(a), array(v)
    a, v = (shaping.reshape(x, 1) if x.ndim == 0 else x for x in (a, v))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise InvalidArgumentError(
            f"convolve needs two vectors that are not empty; they have shapes {a.shape}, {v.shape}"
        )
    if v.size > a.size:
        a, v = v, a
    n, m = a.size, v.size
    padded = shaping.pad(a, (m - 1, m - 1))
    windows = numpy.arange(n + m - 1)[:, None] + numpy.arange(m)[None, ::-1]
    full = contractions.matmul(padded[windows], v)
    if mode == "full":
        return full
    if mode == "valid":
        return shaping.cut(full, 0, m - 1, n)
    if mode != "same":
        raise InvalidArgumentError(f"convolve: mode {mode!r}; expected 'full', 'same' or 'valid'")
    return shaping.cut(full, 0, (m - 1) // 2, (m - 1) // 2 + n)


@rule(numpy.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Array:
    a, v = array(a), conjugate(array(v))
    if v.size > a.size:
        return shaping.flip(correlate(v, a, mode))
    full = convolve(a, shaping.flip(v), "full")
    n, m = a.size, v.size
    if mode == "same":
        return shaping.cut(full, 0, (m - 1) // 2, (m - 1) // 2 + n)
    return full if mode == "full" else convolve(a, shaping.flip(v), mode)


@rule(numpy.linalg.multi_dot)
def multi_dot(arrays: Any) -> Array:
    return functools.reduce(contractions.matmul, _of_one_dtype(arrays))


@rule(numpy.polyval)
def polyval(p: Any, x: Any) -> Array:
    p, x = array(p), array(x)
    y = x * 0
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _aligned(f: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def combine(a1: Any, a2: Any) -> Array:
        a, b = (shaping.reshape(array(x), -1) for x in (a1, a2))
        n = max(a.size, b.size)
        return f(*(shaping.pad(x, (n - x.size, 0)) if x.size < n else x for x in (a, b)))

    return combine


rule(numpy.polyadd)(_aligned(lambda a, b: a + b))
rule(numpy.polysub)(_aligned(lambda a, b: a - b))
rule(numpy.polymul)(lambda a1, a2: convolve(a1, a2))


@rule(numpy.polyder)
def polyder(p: Any, m: int = 1) -> Array:
    p = array(p)
    for _ in range(m):
        n = p.shape[0] - 1
        p = shaping.cut(p, 0, 0, n) * numpy.arange(n, 0, -1.0)
    return p


@rule(numpy.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
    diagonal = linalg.diagonal(shaping.moveaxis(array(a), (axis1, axis2), (-2, -1)), offset=offset)
    return reductions.sum(diagonal, axis=-1, dtype=None if dtype is None else numpy.dtype(dtype))


rule(numpy.linalg.trace)(lambda x, offset=0, dtype=None: trace(x, offset, -2, -1, dtype))
