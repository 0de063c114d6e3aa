"""`numpy.linalg`: norms, decompositions and what is made of them."""

import math
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions import contractions, shaping
from metaspec_numpy.tracer.functions import linalg_functions as linalg
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions.linalg_functions import EighResult, QRResult, SlogdetResult
from metaspec_numpy.tracer.numpy_api.rule import array, rule
from metaspec_numpy.tracer.numpy_api.statistics import inexact
from metaspec_numpy.tracer.rules.elementwise_rules import greater
from metaspec_numpy.tracer.rules.structure import astype, normalize_axis

NP = numpy.linalg

rule(NP.cholesky)(lambda a, upper=False: linalg.cholesky(array(a), upper=upper))
rule(NP.det)(lambda a: linalg.det(array(a)))
rule(NP.inv)(lambda a: linalg.inv(array(a)))
rule(NP.eigvalsh)(lambda a, UPLO="L": linalg.eigvalsh(array(a), UPLO))
rule(NP.matrix_power, view=True)(lambda a, n: linalg.matrix_power(array(a), n))
rule(NP.vector_norm)(
    lambda x, axis=None, keepdims=False, ord=2: linalg.vector_norm(
        inexact(array(x)), axis=axis, keepdims=keepdims, ord=ord
    )
)


@rule(NP.eigh)
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    return linalg.eigh(array(a), UPLO)


@rule(NP.slogdet)
def slogdet(a: Any) -> SlogdetResult:
    return linalg.slogdet(array(a))


@rule(NP.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    if mode == "r":
        return linalg.qr(array(a)).R
    found: QRResult = linalg.qr(array(a), mode=mode)
    return found


@rule(NP.solve)
def solve(a: Any, b: Any) -> Array:
    return linalg.solve(array(a), array(b))


@rule(NP.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    x = inexact(array(x))
    if ord is None:
        return linalg.vector_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise InvalidArgumentError(f"norm: ord {ord!r} is not one of vectors")
        return linalg.vector_norm(x, axis=axes[0], ord=ord, keepdims=keepdims)
    if len(axes) != 2:
        raise InvalidArgumentError(f"norm: ord {ord!r} is of vectors or matrices; the array has shape {x.shape}")
    first, second = (normalize_axis(a, x.ndim) for a in axes)
    found = matrix_norm(shaping.moveaxis(x, (first, second), (-2, -1)), ord=ord)
    return shaping.expand_dims(found, axis=tuple(sorted((first, second)))) if keepdims else found


@rule(NP.matrix_norm)
def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Array:
    return linalg.matrix_norm(inexact(array(x)), ord=ord, keepdims=keepdims)


@rule(NP.svdvals)
def svdvals(x: Any) -> Array:
    return linalg.svdvals(_matrix("svdvals", array(x)))


@rule(NP.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The signs of singular vectors are LAPACK's; derivatives need distinct singular values."""
    a = _matrix("svd", array(a))
    if not compute_uv:
        return svdvals(a)
    return linalg.svd(a, full_matrices=full_matrices)


@rule(NP.pinv)
def pinv(a: Any, rcond: Any = None, rtol: Any = None) -> Array:
    cut = rtol if rcond is None else rcond
    return linalg.pinv(_matrix("pinv", array(a)), rtol=1e-15 if cut is None else float(cut))


@rule(NP.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Array, Array, Array, Array]:
    """For matrices of full rank; by the pseudo-inverse, which LAPACK's answer agrees with to rounding."""
    a, b = _matrix("lstsq", array(a)), array(b)
    rows, columns = a.shape
    x = contractions.matmul(pinv(a), b)
    residual = b - contractions.matmul(a, x)
    squares = shaping.reshape(reductions.sum(reductions.squared(residual), axis=0), -1)
    return x, squares if rows > columns else squares[:0], matrix_rank(a), svdvals(a)


@rule(NP.matrix_rank)
def matrix_rank(A: Any, tol: Any = None) -> Array:
    a = array(A)
    s = svdvals(a)
    least = (
        reductions.max(s, axis=-1, keepdims=True) * (max(a.shape[-2:]) * numpy.finfo(a.dtype).eps)
        if tol is None
        else tol
    )
    return reductions.sum(astype(greater(s, least), numpy.dtype(numpy.int64)), axis=-1)


@rule(NP.cond)
def cond(x: Any, p: Any = None) -> Array:
    x = _matrix("cond", array(x))
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, ord=p) * matrix_norm(linalg.inv(x), ord=p)


@rule(NP.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Array:
    a = array(a)
    n = math.prod(a.shape[ind:])
    return shaping.reshape(linalg.inv(shaping.reshape(a, (n, n))), a.shape[ind:] + a.shape[:ind])


@rule(NP.tensorsolve)
def tensorsolve(a: Any, b: Any) -> Array:
    a, b = array(a), array(b)
    shape = a.shape[b.ndim :]
    matrix = shaping.reshape(a, (b.size, math.prod(shape)))
    return shaping.reshape(linalg.solve(matrix, shaping.reshape(b, -1)), shape)


def _matrix(name: str, x: Array) -> Array:
    if x.ndim < 2:
        raise InvalidArgumentError(f"linalg.{name} needs matrices; the argument has shape {x.shape}")
    return x
