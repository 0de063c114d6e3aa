"""Singular values and vectors, and the pseudo-inverse.

A primitive has one result, so U, the singular values and V come packed, one above the other.
"""

from collections.abc import Sequence
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Primitive, namespace_of
from metaspec_numpy.tracer.rules.elementwise_rules import add, divide, multiply, negative, where
from metaspec_numpy.tracer.rules.indexing_rules import concat_p, slice_p
from metaspec_numpy.tracer.rules.linalg_rules import ALL, unary
from metaspec_numpy.tracer.rules.matmul import matmul_p
from metaspec_numpy.tracer.rules.structure import expand, matrix_transpose, reshape, sum_p

T = matrix_transpose


def _svd(xp: Any, a: Array) -> Array:
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    return xp.concat([u, s[..., None, :], vh.mT], axis=-2)


def unpack_svd(out: Array, rows: int) -> tuple[Array, Array, Array]:
    """U, S and Vh from the packed result."""
    u, s, v = _parts(out, rows)
    return u, reshape(s, shape=(*s.shape[:-2], s.shape[-1])), T(v)


def _parts(out: Array, rows: int) -> tuple[Array, Array, Array]:
    lead = (ALL,) * (out.ndim - 2)
    spans = ((0, rows, None), (rows, rows + 1, None), (rows + 1, None, None))
    u, s, v = (slice_p(out, spans=(*lead, span, ALL)) for span in spans)
    return u, s, v


def _gaps(s: Array) -> Array:
    """1 / (s_j^2 - s_i^2) off the diagonal, 0 on it; s is a row."""
    diagonal = namespace_of(s).eye(s.shape[-1], dtype=s.dtype) != 0
    square = multiply(s, s)
    gap = add(square, negative(T(square)))
    return where(diagonal, 0.0, divide(1.0, where(diagonal, 1.0, gap)))


def _off(x: Array, basis: Array) -> Array:
    """X without its part in the space of the basis."""
    return add(x, negative(matmul_p(basis, matmul_p(T(basis), x))))


def _eye(s: Array) -> Array:
    eye: Array = namespace_of(s).eye(s.shape[-1], dtype=s.dtype)
    return eye


def _svd_jvp(ts: Sequence[Array], out: Array, a: Array) -> Array:
    u, s, v = _parts(out, a.shape[-2])
    (t,) = ts
    p = matmul_p(T(u), matmul_p(t, v))
    gaps = _gaps(s)
    ps, sp = multiply(p, s), multiply(p, T(s))
    tu = add(matmul_p(u, multiply(gaps, add(ps, T(ps)))), divide(_off(matmul_p(t, v), u), s))
    tv = add(matmul_p(v, multiply(gaps, add(sp, T(sp)))), divide(_off(matmul_p(T(t), u), v), s))
    tvals = sum_p(multiply(p, _eye(s)), axis=(p.ndim - 2,), keepdims=True)
    return concat_p(tu, tvals, tv, axis=out.ndim - 2)


def _svd_vjp(i: int, g: Array, out: Array, a: Array) -> Array:
    rows = a.shape[-2]
    (u, s, v), (gu, gs, gv) = _parts(out, rows), _parts(g, rows)
    gaps = _gaps(s)
    of_u, of_v = matmul_p(T(u), gu), matmul_p(T(v), gv)
    middle = multiply(multiply(gaps, add(of_u, negative(T(of_u)))), s)
    middle = add(middle, multiply(multiply(gaps, add(of_v, negative(T(of_v)))), T(s)))
    middle = add(middle, multiply(_eye(s), gs))
    inside = matmul_p(u, matmul_p(middle, T(v)))
    left = matmul_p(divide(_off(gu, u), s), T(v))
    right = matmul_p(u, T(divide(_off(gv, v), s)))
    return add(inside, add(left, right))


svd_p: Primitive = unary("svd", _svd, jvp=_svd_jvp, vjp=_svd_vjp)


def _svdvals_jvp(ts: Sequence[Array], out: Array, a: Array) -> Array:
    u, s, v = _parts(svd_p(a), a.shape[-2])
    p = matmul_p(T(u), matmul_p(ts[0], v))
    return sum_p(multiply(p, _eye(s)), axis=(p.ndim - 2,), keepdims=False)


def _svdvals_vjp(i: int, g: Array, out: Array, a: Array) -> Array:
    u, _, v = _parts(svd_p(a), a.shape[-2])
    return matmul_p(multiply(u, expand(g, g.ndim - 1)), T(v))


svdvals_p: Primitive = unary(
    "svdvals", lambda xp, a: numpy.linalg.svd(a, compute_uv=False), jvp=_svdvals_jvp, vjp=_svdvals_vjp
)


def _pinv_jvp(ts: Sequence[Array], out: Array, a: Array, *, rcond: float) -> Array:
    (t,) = ts
    p, tt = out, T(t)
    first = negative(matmul_p(p, matmul_p(t, p)))
    second = _right_off(matmul_p(p, matmul_p(T(p), tt)), a, p)
    third = _left_off(matmul_p(matmul_p(tt, T(p)), p), p, a)
    return add(first, add(second, third))


def _pinv_vjp(i: int, g: Array, out: Array, a: Array, *, rcond: float) -> Array:
    p, gt = out, T(g)
    first = negative(matmul_p(T(p), matmul_p(g, T(p))))
    second = _left_off(matmul_p(matmul_p(gt, p), T(p)), a, p)
    third = _right_off(matmul_p(T(p), matmul_p(p, gt)), p, a)
    return add(first, add(second, third))


def _right_off(x: Array, a: Array, b: Array) -> Array:
    """X (I - a b)."""
    return add(x, negative(matmul_p(matmul_p(x, a), b)))


def _left_off(x: Array, a: Array, b: Array) -> Array:
    """(I - a b) X."""
    return add(x, negative(matmul_p(a, matmul_p(b, x))))


pinv_p: Primitive = Primitive(
    "pinv",
    lambda xp, a, *, rcond: numpy.linalg.pinv(a, rcond=rcond),
    jvp=_pinv_jvp,
    vjp=_pinv_vjp,
    batch=lambda size, flags, args, params: pinv_p(*args, **params),
)
