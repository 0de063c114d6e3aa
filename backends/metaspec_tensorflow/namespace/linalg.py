"""The standard's linear algebra over the last two axes of arrays.

The derivatives of norms are taken to be 0 at 0. `inv`, `solve` and `cholesky` raise on matrices that they cannot treat,
and `det` has no derivative at a singular one. TensorFlow compiles neither `det` nor `slogdet` by XLA, and
`vectorized_map` loops over `det`, `qr`, `svd` and what rests on `svd` (`svdvals`, `pinv`, `matrix_rank`, some norms).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec_tensorflow.namespace._dtypes import finfo
from metaspec_tensorflow.namespace._elementwise import safe_sqrt
from metaspec_tensorflow.namespace._manipulation import broadcast_arrays
from metaspec_tensorflow.namespace._operands import Array, Axes, axes_of, axis_of, common, operand, scalar, shape_of
from metaspec_tensorflow.namespace._products import matmul, matrix_transpose, tensordot, vecdot
from metaspec_tensorflow.namespace._reductions import count_nonzero
from metaspec_tensorflow.namespace._reductions import sum as total

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


class QRResult(NamedTuple):
    """`x = Q @ R`."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """`x = U @ diag(S) @ Vh`."""

    U: Array
    S: Array
    Vh: Array


class EighResult(NamedTuple):
    """`x = eigenvectors @ diag(eigenvalues) @ eigenvectors^H`."""

    eigenvalues: Array
    eigenvectors: Array


class SlogdetResult(NamedTuple):
    """`det(x) = sign * exp(logabsdet)`."""

    sign: Array
    logabsdet: Array


def _matrix(name: str, x: Array, kind: str = "floating", *, square: bool = False) -> Array:
    x = operand(name, x, kind)
    if x.shape.rank < 2 or (square and None not in x.shape[-2:] and x.shape[-1] != x.shape[-2]):
        shape = "(..., M, M)" if square else "(..., M, N)"
        raise InvalidArgumentError(f"{name}: got shape {tuple(x.shape)}, expected {shape}")
    return x


def solve(x1: Array, x2: Array, /) -> Array:
    """The solution of `x1 @ out = x2`, for a vector `x2` of one dimension or matrices; leading axes broadcast."""
    a, b = common("solve", [x1, x2], "floating")
    a, vector = _matrix("solve", a, square=True), b.shape.rank == 1
    b = b[:, None] if vector else b
    if None not in (a.shape[-1], b.shape[-2]) and a.shape[-1] != b.shape[-2]:
        raise InvalidArgumentError(f"solve: the shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not match")
    if a.shape.rank > 2 or b.shape.rank > 2:
        batch = shape_of(broadcast_arrays(a[..., 0, 0], b[..., 0, 0])[0])
        a, b = tf.broadcast_to(a, [*batch, *shape_of(a)[-2:]]), tf.broadcast_to(b, [*batch, *shape_of(b)[-2:]])
    solution = tf.linalg.solve(a, b)
    return solution[..., 0] if vector else solution


def inv(x: Array, /) -> Array:
    """Inverses of square matrices."""
    return tf.linalg.inv(_matrix("inv", x, square=True))


def det(x: Array, /) -> Array:
    """Determinants of square matrices."""
    return tf.linalg.det(_matrix("det", x, square=True))


def slogdet(x: Array, /) -> SlogdetResult:
    """Signs of determinants, and logarithms of their absolute values."""
    sign, logabsdet = tf.linalg.slogdet(_matrix("slogdet", x, square=True))
    return SlogdetResult(sign, tf.math.real(logabsdet))  # TensorFlow's has the type of x


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """`L` with `x = L @ L^H`, lower triangular, or its adjoint; reads the lower triangle of `x`."""
    factor = tf.linalg.cholesky(_matrix("cholesky", x, square=True))
    return tf.linalg.adjoint(factor) if upper else factor


def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """`x = Q @ R`, Q with orthonormal columns, R upper triangular."""
    if mode not in ("reduced", "complete"):
        raise InvalidArgumentError(f"mode: got {mode!r}, expected 'reduced' or 'complete'")
    return QRResult(*tf.linalg.qr(_matrix("qr", x), full_matrices=mode == "complete"))


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """`x = U @ diag(S) @ Vh`, singular values in descending order."""
    s, u, v = tf.linalg.svd(_matrix("svd", x), full_matrices=full_matrices)
    return SVDResult(u, s, tf.linalg.adjoint(v))


def svdvals(x: Array, /) -> Array:
    """Singular values in descending order."""
    return tf.linalg.svd(_matrix("svdvals", x), compute_uv=False)


def eigh(x: Array, /) -> EighResult:
    """Eigenvalues, ascending, and eigenvectors of symmetric or Hermitian matrices; reads the lower triangle."""
    return EighResult(*tf.linalg.eigh(_matrix("eigh", x, square=True)))


def eigvalsh(x: Array, /) -> Array:
    """Eigenvalues, ascending, of symmetric or Hermitian matrices; reads the lower triangle."""
    return tf.linalg.eigvalsh(_matrix("eigvalsh", x, square=True))


def _cutoff(x: Array, s: Array, rtol: Any) -> Array:
    if rtol is None:
        rtol = max(shape_of(x)[-2:]) * finfo(x).eps
    return scalar(rtol, s.dtype)[..., None] * tf.reduce_max(s, -1, keepdims=True)


def matrix_rank(x: Array, /, *, rtol: Any = None) -> Array:
    """How many singular values exceed `rtol` (by default max(M, N) * eps) times the largest."""
    x = _matrix("matrix_rank", x)
    s = svdvals(x)
    return count_nonzero(s > _cutoff(x, s, rtol), axis=-1)


def pinv(x: Array, /, *, rtol: Any = None) -> Array:
    """Pseudo-inverses; singular values up to `rtol` (by default max(M, N) * eps) times the largest count as 0."""
    x = _matrix("pinv", x)
    if 0 in x.shape[-2:]:  # batched and compiled, TensorFlow fails in the products of nothing
        return matrix_transpose(x)
    u, s, vh = svd(x, full_matrices=False)
    keep = s > _cutoff(x, s, rtol)
    inverse = tf.where(keep, 1 / tf.where(keep, s, tf.ones_like(s)), tf.zeros_like(s))
    return matmul(tf.linalg.adjoint(vh) * tf.cast(inverse, x.dtype)[..., None, :], tf.linalg.adjoint(u))


def matrix_power(x: Array, n: int, /) -> Array:
    """`x @ x @ ... @ x`, `n` times; of the inverse for negative `n`."""
    x = _matrix("matrix_power", x, square=True)
    x, n = (tf.linalg.inv(x), -n) if n < 0 else (x, n)
    result = tf.eye(shape_of(x)[-1], batch_shape=shape_of(x)[:-2], dtype=x.dtype)
    while n:
        result = tf.matmul(result, x) if n & 1 else result
        x, n = (tf.matmul(x, x) if n > 1 else x), n >> 1
    return result


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """The diagonals of matrices, or those `offset` to the right of them."""
    x = _matrix("diagonal", x, "any")
    rows, columns = x.shape[-2:]
    if None not in (rows, columns) and not -rows < offset < columns:
        return tf.zeros([*shape_of(x)[:-2], 0], x.dtype)
    return tf.linalg.diag_part(x, k=offset)


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """Sums of diagonals; integers add up in 64 bits."""
    return total(diagonal(_matrix("trace", x, "numeric"), offset=offset), axis=-1, dtype=dtype)


def outer(x1: Array, x2: Array, /) -> Array:
    """`x1[i] * x2[j]` of two vectors."""
    a, b = common("outer", [x1, x2], "numeric")
    if a.shape.rank != 1 or b.shape.rank != 1:
        raise InvalidArgumentError(f"outer: got {a.shape.rank} and {b.shape.rank} dimensions, expected two vectors")
    return a[:, None] * b[None, :]


def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Cross products of vectors of three elements along `axis`; the other axes broadcast."""
    a, b = broadcast_arrays(*common("cross", [x1, x2], "numeric"))
    k = axis_of("cross", axis, a.shape.rank)
    if a.shape[k] != 3:
        raise InvalidArgumentError(f"cross: the vectors along axis {axis} have {a.shape[k]} elements, expected 3")
    (a0, a1, a2), (b0, b1, b2) = tf.unstack(a, 3, k), tf.unstack(b, 3, k)
    return tf.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], k)


def vector_norm(x: Array, /, *, axis: Axes = None, keepdims: bool = False, ord: float = 2) -> Array:
    """`sum(|x|**ord)**(1/ord)` over `axis`; the limits of that for `ord` inf, -inf and 0."""
    x = operand("vector_norm", x, "floating")
    axes = axes_of("vector_norm", axis, x.shape.rank)
    if ord == 2 and x.dtype.is_floating:
        return safe_sqrt(tf.reduce_sum(tf.square(x), axes, keepdims))
    size = tf.abs(x)
    if ord == math.inf:
        return tf.reduce_max(size, axes, keepdims)
    if ord == -math.inf:
        return tf.reduce_min(size, axes, keepdims)
    if ord == 0:
        return tf.cast(count_nonzero(x, axis=axes, keepdims=keepdims), size.dtype)
    if ord == 1:
        return tf.reduce_sum(size, axes, keepdims)
    total = tf.reduce_sum(tf.pow(size, scalar(ord, size.dtype)), axes, keepdims)
    zero = tf.equal(total, tf.zeros_like(total))
    root = tf.pow(tf.where(zero, tf.ones_like(total), total), scalar(1 / ord, size.dtype))
    return tf.where(zero, tf.zeros_like(total), root)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """Norms of matrices: 'fro', 'nuc', and the operator norms 1, 2, inf and their least counterparts -1, -2, -inf."""
    x = _matrix("matrix_norm", x)
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        s = svdvals(x)
        norm = tf.reduce_sum(s, -1) if ord == "nuc" else tf.reduce_max(s, -1) if ord == 2 else tf.reduce_min(s, -1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = tf.reduce_sum(tf.abs(x), -2 if ord in (1, -1) else -1)
        norm = tf.reduce_max(sums, -1) if ord > 0 else tf.reduce_min(sums, -1)
    else:
        raise InvalidArgumentError(f"ord: got {ord!r}, expected 'fro', 'nuc', 1, 2, inf, -1, -2 or -inf")
    return norm[..., None, None] if keepdims else norm
