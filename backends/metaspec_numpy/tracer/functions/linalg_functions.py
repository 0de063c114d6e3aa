"""The array API's `linalg` extension, as far as it is real and has derivatives."""

import math
from typing import Any, NamedTuple

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy.tracer.complex_values import conjugate, is_complex
from metaspec_numpy.tracer.core import Array, namespace_of
from metaspec_numpy.tracer.functions import reduction_functions as reductions
from metaspec_numpy.tracer.functions.contractions import matmul, outer, tensordot, vecdot
from metaspec_numpy.tracer.functions.shaping import (
    broadcast_to,
    concat,
    cut,
    expand_dims,
    moveaxis,
    squeeze,
    stack,
    triangle_mask,
    tril,
    triu,
)
from metaspec_numpy.tracer.rules import linalg_rules as rules
from metaspec_numpy.tracer.rules import structure
from metaspec_numpy.tracer.rules import svd as svd_rules
from metaspec_numpy.tracer.rules.elementwise_rules import absolute, power, square, where
from metaspec_numpy.tracer.rules.structure import astype, matrix_transpose, normalize_axes, normalize_axis


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Array
    logabsdet: Array


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Array
    R: Array


def _square(name: str, x: Array) -> Array:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise InvalidArgumentError(f"linalg.{name} needs square matrices; the argument has shape {x.shape}")
    return x


def solve(a: Array, b: Array, /) -> Array:
    """X with a @ X = b; b is one vector, or a stack of matrices."""
    _square("solve", a)
    if b.ndim == 1:
        return squeeze(rules.solve_p(a, expand_dims(b, axis=1)), -1)
    return rules.solve_p(a, b)


def inv(x: Array, /) -> Array:
    """The inverse of each matrix."""
    return rules.inv_p(_square("inv", x))


def det(x: Array, /) -> Array:
    """The determinant of each matrix; its derivative needs the inverse."""
    return rules.det_p(_square("det", x))


def slogdet(x: Array, /) -> SlogdetResult:
    """The sign of the determinant, and the logarithm of its absolute value."""
    _square("slogdet", x)
    return SlogdetResult(rules.signdet_p(x), rules.logabsdet_p(x))


def _symmetric(name: str, x: Array, *, upper: bool = False) -> Array:
    """The symmetric matrices whose lower (or upper) triangle x has: all that LAPACK reads of x."""
    _square(name, x)
    half = triu(x) if upper else tril(x)
    return where(triangle_mask(x, 0, lower=not upper), half, matrix_transpose(conjugate(half)))


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """The triangular L with L @ L.mT = x, or its transpose.

    Only the lower triangle of x is read (the upper one with `upper`): the derivative in the other is zero.
    """
    factor = rules.cholesky_p(_symmetric("cholesky", x, upper=upper))
    return matrix_transpose(conjugate(factor)) if upper else factor


def eigh(x: Array, /, UPLO: str = "L") -> EighResult:
    """Eigenvalues, increasing, and eigenvectors of symmetric matrices; derivatives need distinct eigenvalues.

    Only the triangle UPLO of x is read: the derivative in the other is zero. The sign of an eigenvector is LAPACK's,
    and the derivative that of the branch on which it is: what depends on the sign is no function of the matrix.
    """
    upper = UPLO.upper() == "U"
    return EighResult(*rules.unpack_eigh(rules.eigh_p(_symmetric("eigh", x, upper=upper), upper=upper)))


def eigvalsh(x: Array, /, UPLO: str = "L") -> Array:
    """The eigenvalues of symmetric matrices, increasing; only the triangle UPLO of x is read."""
    return eigh(x, UPLO).eigenvalues


def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """X = Q @ R with R upper triangular, with LAPACK's signs on its diagonal; for matrices of full rank."""
    if x.ndim < 2:
        raise InvalidArgumentError(f"linalg.qr needs matrices; the argument has shape {x.shape}")
    rows, columns = x.shape[-2:]
    if mode not in ("reduced", "complete"):
        raise UnsupportedError(f"linalg.qr: mode {mode!r} has no rule; 'reduced', 'complete' and NumPy's 'r' have")
    if mode == "complete" and rows > columns:
        raise UnsupportedError(
            f"linalg.qr: mode 'complete' of matrices {rows} x {columns} has columns of Q that x does not determine, "
            "and so no derivative; mode 'reduced' has"
        )
    packed = rules.qr_p(cut(x, x.ndim - 1, 0, min(rows, columns)))
    q, r = cut(packed, x.ndim - 2, 0, rows), cut(packed, x.ndim - 2, rows, None)
    if columns > rows:
        r = concat([r, matmul(matrix_transpose(conjugate(q)), cut(x, x.ndim - 1, rows, None))], axis=-1)
    return QRResult(q, r)


def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Array:
    """(sum |x|**ord) ** (1/ord); where it is 0, so are its derivatives."""
    axes, x = normalize_axes(axis, x.ndim), absolute(x) if is_complex(x) else x
    if ord == 2:
        return reductions.safe_sqrt(reductions.sum(square(x), axis=axes, keepdims=keepdims))
    if ord == math.inf:
        return reductions.max(absolute(x), axis=axes, keepdims=keepdims)
    if ord == -math.inf:
        return reductions.min(absolute(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        return reductions.sum(astype(x != 0, x.dtype), axis=axes, keepdims=keepdims)
    zero = reductions.all(x == 0, axis=axes, keepdims=True)
    total = reductions.sum(power(where(zero, 1.0, absolute(x)), ord), axis=axes, keepdims=True)
    norm = where(zero, 0.0, power(total, 1.0 / ord))
    return norm if keepdims else squeeze(norm, axes)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """Norms of matrices: 'fro', 'nuc', and the operator norms 1, 2, inf and their least counterparts -1, -2, -inf."""
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        sums = reductions.sum(absolute(x), axis=-2 if abs(ord) == 1 else -1)
        found = reductions.max(sums, axis=-1) if ord > 0 else reductions.min(sums, axis=-1)
    elif ord in (2, -2, "nuc"):
        s = svdvals(x)
        found = reductions.sum(s, axis=-1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
    else:
        raise InvalidArgumentError(f"norm: ord {ord!r} is not one of matrices")
    return expand_dims(found, axis=(-2, -1)) if keepdims else found


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """The diagonal number `offset` of each matrix."""
    n, m = x.shape[-2:]
    right, down = max(offset, 0), max(-offset, 0)
    start, columns = right + down * m, max(m - right, 0)
    flat = structure.reshape(x, shape=(*x.shape[:-2], n * m))  # whatever the layout, NumPy's diagonal is a view
    stop = start + (m + 1) * columns - m  # after the last column, or with the last row
    return cut(flat, x.ndim - 2, min(start, n * m), min(stop, n * m), m + 1)


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of the diagonal of each matrix."""
    return reductions.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def matrix_power(x: Array, n: int, /) -> Array:
    """The n-th power of each matrix, by squaring."""
    _square("matrix_power", x)
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        return broadcast_to(namespace_of(x).eye(x.shape[-1], dtype=x.dtype), x.shape)
    if n == 1:
        return x
    half = matrix_power(x, n // 2)
    return matmul(matmul(half, half), x) if n % 2 else matmul(half, half)


def cross(a: Array, b: Array, /, *, axis: int = -1) -> Array:
    """The vector product in three dimensions."""
    a, b = moveaxis(a, axis, 0), moveaxis(b, axis, 0)
    rows = [a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)]
    return moveaxis(stack(rows), 0, normalize_axis(axis, rows[0].ndim + 1))


class SVDResult(tuple[Array, Array, Array]):
    """What `svd` returns: U, S and Vh, by position or by name."""

    _fields = ("U", "S", "Vh")

    def __new__(cls, u: Array, s: Array, vh: Array) -> "SVDResult":
        return super().__new__(cls, (u, s, vh))

    U = property(lambda self: self[0])
    S = property(lambda self: self[1])
    Vh = property(lambda self: self[2])


def svdvals(x: Array, /) -> Array:
    """The singular values, the largest first."""
    return svd_rules.svdvals_p(x)


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """The signs of singular vectors are LAPACK's; derivatives need distinct singular values."""
    rows, columns = x.shape[-2:]
    if full_matrices and rows != columns:
        raise UnsupportedError(
            f"svd: full_matrices=True of matrices {rows} x {columns} has columns that the matrix does not determine, "
            "and so no derivative; give full_matrices=False"
        )
    u, s, vh = svd_rules.unpack_svd(svd_rules.svd_p(x), rows)
    return SVDResult(u, absolute(s) if is_complex(s) else s, vh)


def pinv(x: Array, /, *, rtol: float | None = None) -> Array:
    """The pseudo-inverse; singular values up to rtol times the largest count as zero."""
    if getattr(rtol, "ndim", 0):
        raise UnsupportedError("linalg.pinv: rtol of several numbers has no rule; give one number")
    roundoff = float(namespace_of(x).finfo(x.dtype).eps)
    return svd_rules.pinv_p(x, rcond=max(x.shape[-2:]) * roundoff if rtol is None else float(rtol))


FUNCTIONS = (
    cholesky,
    cross,
    det,
    diagonal,
    eigh,
    eigvalsh,
    inv,
    matmul,
    matrix_norm,
    matrix_power,
    matrix_transpose,
    outer,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensordot,
    trace,
    vecdot,
    vector_norm,
)
