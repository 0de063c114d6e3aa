"""Dense linear algebra for dtypes that numpy.linalg refuses (longdouble), over stacks of matrices."""

import numpy

from metaspec_numpy.tracer.core import Array


def _lu(a: Array) -> tuple[Array, Array, Array]:
    """LU in place with partial pivoting: the factors in one array, the row order, the sign of the permutation."""
    a = numpy.array(a)
    n = a.shape[-1]
    order = numpy.broadcast_to(numpy.arange(n), a.shape[:-1]).copy()
    sign = numpy.ones(a.shape[:-2], dtype=a.dtype)
    for k in range(n):
        pivot = k + numpy.argmax(numpy.abs(a[..., k:, k]), axis=-1)
        swap = numpy.broadcast_to(numpy.arange(n), a.shape[:-1]).copy()
        numpy.put_along_axis(swap, pivot[..., None], k, axis=-1)
        swap[..., k] = pivot
        a = numpy.take_along_axis(a, swap[..., None], axis=-2)
        order = numpy.take_along_axis(order, swap, axis=-1)
        sign = numpy.where(pivot == k, sign, -sign)
        top = a[..., k, k]
        a[..., k + 1 :, k] /= numpy.where(top == 0, 1, top)[..., None]
        a[..., k + 1 :, k + 1 :] -= a[..., k + 1 :, k, None] * a[..., None, k, k + 1 :]
    return a, order, sign


def _diagonal(a: Array) -> Array:
    return numpy.diagonal(a, axis1=-2, axis2=-1)


def solve(a: Array, b: Array) -> Array:
    """X with a @ X = b."""
    lu, order, _ = _lu(a)
    if (_diagonal(lu) == 0).any():
        raise numpy.linalg.LinAlgError("Singular matrix")
    n = a.shape[-1]
    stack = numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    order = numpy.broadcast_to(order, (*stack, n))
    x = numpy.take_along_axis(numpy.broadcast_to(b, (*stack, *b.shape[-2:])), order[..., None], axis=-2)
    for k in range(n):
        x[..., k + 1 :, :] -= lu[..., k + 1 :, k, None] * x[..., None, k, :]
    for k in reversed(range(n)):
        x[..., k, :] /= lu[..., k, k, None]
        x[..., :k, :] -= lu[..., :k, k, None] * x[..., None, k, :]
    return x


def inv(a: Array) -> Array:
    return solve(a, numpy.eye(a.shape[-1], dtype=a.dtype))


def slogdet(a: Array) -> tuple[Array, Array]:
    """The sign and the logarithm of the absolute value of the determinant."""
    lu, _, sign = _lu(a)
    d = _diagonal(lu)
    with numpy.errstate(divide="ignore"):
        return sign * numpy.prod(numpy.sign(d), axis=-1), numpy.sum(numpy.log(numpy.abs(d)), axis=-1)


def det(a: Array) -> Array:
    lu, _, sign = _lu(a)
    return sign * numpy.prod(_diagonal(lu), axis=-1)


def cholesky(a: Array) -> Array:
    """The lower triangular L with L @ L.T = a; only the lower triangle of a is read."""
    left = numpy.zeros_like(a)
    for k in range(a.shape[-1]):
        column = a[..., k:, k] - (left[..., k:, :k] @ left[..., k, :k, None])[..., 0]
        if not (column[..., 0] > 0).all():
            raise numpy.linalg.LinAlgError("Matrix is not positive definite")
        left[..., k:, k] = column / numpy.sqrt(column[..., :1])
    return left


def eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvalues in increasing order and eigenvectors of symmetric matrices, by cyclic Jacobi rotations."""
    w = (a + a.mT) / 2
    n = a.shape[-1]
    v = numpy.broadcast_to(numpy.eye(n, dtype=a.dtype), a.shape).copy()
    for _ in range(30):
        if not numpy.tril(w, -1).any():
            break
        for p in range(n):
            for q in range(p + 1, n):
                off = w[..., p, q]
                tiny = numpy.abs(off) <= numpy.finfo(a.dtype).tiny * 16
                theta = (w[..., q, q] - w[..., p, p]) / numpy.where(tiny, 1, 2 * off)
                t = numpy.where(theta >= 0, 1, -1) / (numpy.abs(theta) + numpy.hypot(theta, 1))
                t = numpy.where(tiny, 0, t)
                c = 1 / numpy.hypot(t, 1)
                turn = numpy.stack([c, t * c, -t * c, c], axis=-1).reshape(*c.shape, 2, 2)
                pair = [p, q]
                w[..., pair] = w[..., pair] @ turn
                w[..., pair, :] = turn.mT @ w[..., pair, :]
                w[..., p, q] = w[..., q, p] = 0
                v[..., pair] = v[..., pair] @ turn
    d = _diagonal(w)
    order = numpy.argsort(d, axis=-1)
    return numpy.take_along_axis(d, order, axis=-1), numpy.take_along_axis(v, order[..., None, :], axis=-1)


def qr(a: Array) -> tuple[Array, Array]:
    """Q and R by Householder's reflections with LAPACK's signs, for matrices not wider than high."""
    r = numpy.array(a)
    rows, columns = a.shape[-2:]
    q = numpy.broadcast_to(numpy.eye(rows, dtype=a.dtype), (*a.shape[:-2], rows, rows)).copy()
    for k in range(columns):
        x = r[..., k:, k]
        tail = numpy.sqrt(numpy.sum(x[..., 1:] ** 2, axis=-1))
        beta = -numpy.copysign(numpy.hypot(x[..., 0], tail), x[..., 0])
        v = x.copy()
        v[..., 0] -= beta
        weight = numpy.where(tail == 0, 0, 2 / numpy.where(tail == 0, 1, numpy.sum(v * v, axis=-1)))[..., None, None]
        v = v[..., None]
        r[..., k:, :] -= weight * (v @ (v.mT @ r[..., k:, :]))
        q[..., k:] -= weight * ((q[..., k:] @ v) @ v.mT)
    return q[..., :columns], numpy.triu(r[..., :columns, :])
