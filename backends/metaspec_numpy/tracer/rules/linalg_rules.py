"""Linear algebra on stacks of square matrices.

A primitive has one result, so eigenvalues and eigenvectors come packed, the values as a first row above the vectors.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Params, Primitive, namespace_of
from metaspec_numpy.tracer.rules import extended
from metaspec_numpy.tracer.rules.elementwise_rules import add, multiply, negative, where
from metaspec_numpy.tracer.rules.indexing_rules import concat_p, slice_p
from metaspec_numpy.tracer.rules.matmul import matmul_p
from metaspec_numpy.tracer.rules.structure import align, expand, matrix_transpose, reshape, sum_p, sum_to

ALL = (None, None, None)


def _choose(name: str) -> Callable[..., Any]:
    """The namespace's function, except for the dtypes that numpy.linalg refuses."""

    def function(xp: Any, *args: Array) -> Any:
        if xp is numpy and any(x.dtype.char == "g" for x in args):
            return getattr(extended, name)(*args)
        return getattr(xp.linalg, name)(*args)

    return function


def _batch(primitive: Primitive) -> Any:
    def rule(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
        return primitive(*align(args, flags), **params)

    return rule


def unary(name: str, impl: Callable[..., Array], **rules: Any) -> Primitive:
    primitive: Primitive = Primitive(
        name, impl, batch=lambda size, flags, args, params: primitive(*args, **params), **rules
    )
    return primitive


def scale(x: Array, factor: Array) -> Array:
    """Each matrix of the stack `x` times its number in the stack `factor`."""
    return multiply(x, reshape(factor, shape=(*factor.shape, 1, 1)))


def inner(x: Array, y: Array) -> Array:
    """The sum of the elementwise product of each two matrices."""
    product = multiply(x, y)
    return sum_p(product, axis=(product.ndim - 2, product.ndim - 1), keepdims=False)


# solve


def _solve_jvp(ts: Sequence[Array | None], out: Array, a: Array, b: Array) -> Array:
    ta, tb = ts
    right = None if ta is None else negative(matmul_p(ta, out))
    if tb is not None:
        right = tb if right is None else add(tb, right)
    return solve_p(a, right)


def _solve_vjp(i: int, g: Array, out: Array, a: Array, b: Array) -> Array:
    gb = solve_p(matrix_transpose(a), g)
    return sum_to(gb, b.shape) if i == 1 else sum_to(negative(matmul_p(gb, matrix_transpose(out))), a.shape)


solve_p: Primitive = Primitive(
    "solve",
    lambda xp, a, b: _choose("solve")(xp, a, b),
    jvp=_solve_jvp,
    vjp=_solve_vjp,
    batch=lambda size, flags, args, params: _batch(solve_p)(size, flags, args, params),
)

# inverse and determinants


def _inv_chain(g: Array, out: Array) -> Array:
    return negative(matmul_p(out, matmul_p(g, out)))


inv_p: Primitive = unary(
    "inv",
    lambda xp, a: _choose("inv")(xp, a),
    jvp=lambda ts, out, a: _inv_chain(ts[0], out),
    vjp=lambda i, g, out, a: _inv_chain(g, matrix_transpose(out)),
)
det_p: Primitive = unary(
    "det",
    lambda xp, a: _choose("det")(xp, a),
    jvp=lambda ts, out, a: multiply(out, inner(matrix_transpose(inv_p(a)), *ts)),
    vjp=lambda i, g, out, a: scale(matrix_transpose(inv_p(a)), multiply(g, out)),
)
logabsdet_p: Primitive = unary(
    "logabsdet",
    lambda xp, a: _choose("slogdet")(xp, a)[1],
    jvp=lambda ts, out, a: inner(matrix_transpose(inv_p(a)), *ts),
    vjp=lambda i, g, out, a: scale(matrix_transpose(inv_p(a)), g),
)
signdet_p: Primitive = unary("signdet", lambda xp, a: _choose("slogdet")(xp, a)[0])

# Cholesky


def _lower_half(x: Array) -> Array:
    """The lower triangle, the diagonal halved."""
    xp = namespace_of(x)
    n = x.shape[-1]
    weight = xp.tril(xp.ones((n, n), dtype=x.dtype)) - xp.eye(n, dtype=x.dtype) * 0.5
    return multiply(x, weight)


def _symmetric(x: Array) -> Array:
    return multiply(add(x, matrix_transpose(x)), 0.5)


def _cholesky_jvp(ts: Sequence[Array], out: Array, a: Array) -> Array:
    symmetric = _symmetric(*ts)
    half = solve_p(out, matrix_transpose(solve_p(out, symmetric)))
    return matmul_p(out, _lower_half(half))


def _cholesky_vjp(i: int, g: Array, out: Array, a: Array) -> Array:
    upper = matrix_transpose(out)
    half = _lower_half(matmul_p(upper, g))
    ga = matrix_transpose(solve_p(upper, matrix_transpose(solve_p(upper, half))))
    return _symmetric(ga)


cholesky_p: Primitive = unary(
    "cholesky",
    lambda xp, a: _choose("cholesky")(xp, a),
    jvp=_cholesky_jvp,
    vjp=_cholesky_vjp,
)

# Symmetric eigenproblem


def _eigh(xp: Any, a: Array, *, upper: bool) -> Array:
    """The triangle that is read decides on the signs of eigenvectors, though all of `a` is symmetric."""
    if upper and xp is numpy and a.dtype.char != "g":
        w, v = numpy.linalg.eigh(a, "U")
    else:
        w, v = _choose("eigh")(xp, a)
    return xp.concat([w[..., None, :], v], axis=-2)


def unpack_eigh(out: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors from the packed result."""
    lead = (ALL,) * (out.ndim - 2)
    values = slice_p(out, spans=(*lead, (0, 1, None), ALL))
    return reshape(values, shape=(*out.shape[:-2], out.shape[-1])), slice_p(out, spans=(*lead, (1, None, None), ALL))


def _gaps(w: Array) -> Array:
    """1 / (w_j - w_i) off the diagonal, 0 on it."""
    xp = namespace_of(w)
    n = w.shape[-1]
    diagonal = xp.eye(n, dtype=w.dtype) != 0
    gap = expand(w, w.ndim - 1) - expand(w, w.ndim)
    return where(diagonal, 0.0, 1.0 / where(diagonal, 1.0, gap))


def _eigh_jvp(ts: Sequence[Array], out: Array, a: Array, *, upper: bool) -> Array:
    w, v = unpack_eigh(out)
    symmetric = _symmetric(*ts)
    turned = matmul_p(matrix_transpose(v), matmul_p(symmetric, v))
    xp = namespace_of(out)
    tw = sum_p(multiply(turned, xp.eye(w.shape[-1], dtype=w.dtype)), axis=(turned.ndim - 2,), keepdims=True)
    return concat_p(tw, matmul_p(v, multiply(_gaps(w), turned)), axis=out.ndim - 2)


def _eigh_vjp(i: int, g: Array, out: Array, a: Array, *, upper: bool) -> Array:
    w, v = unpack_eigh(out)
    gw, gv = unpack_eigh(g)
    xp = namespace_of(out)
    diagonal = multiply(expand(gw, gw.ndim), xp.eye(w.shape[-1], dtype=w.dtype))
    middle = add(diagonal, multiply(_gaps(w), matmul_p(matrix_transpose(v), gv)))
    ga = matmul_p(v, matmul_p(middle, matrix_transpose(v)))
    return _symmetric(ga)


eigh_p: Primitive = unary("eigh", _eigh, jvp=_eigh_jvp, vjp=_eigh_vjp)


# QR of matrices not wider than high, Q above R


def _qr(xp: Any, a: Array) -> Array:
    return xp.concat(list(_choose("qr")(xp, a)), axis=-2)


def unpack_qr(out: Array) -> tuple[Array, Array]:
    """Q and R from the packed result."""
    lead, rows = (ALL,) * (out.ndim - 2), out.shape[-2] - out.shape[-1]
    return slice_p(out, spans=(*lead, (0, rows, None), ALL)), slice_p(out, spans=(*lead, (rows, None, None), ALL))


def _over(x: Array, r: Array) -> Array:
    """X @ inv(R)."""
    return matrix_transpose(solve_p(matrix_transpose(r), matrix_transpose(x)))


def _below(x: Array) -> Array:
    """The lower triangle without the diagonal."""
    xp, n = namespace_of(x), x.shape[-1]
    return multiply(x, xp.tril(xp.ones((n, n), dtype=x.dtype), k=-1))


def _qr_jvp(ts: Sequence[Array], out: Array, a: Array) -> Array:
    q, r = unpack_qr(out)
    outside = _over(ts[0], r)
    inside = matmul_p(matrix_transpose(q), outside)
    lower = _below(inside)
    turn = add(lower, negative(matrix_transpose(lower)))  # Q.T @ dQ, skew
    tq = add(outside, matmul_p(q, add(turn, negative(inside))))
    return concat_p(tq, matmul_p(add(inside, negative(turn)), r), axis=out.ndim - 2)


def _qr_vjp(i: int, g: Array, out: Array, a: Array) -> Array:
    q, r = unpack_qr(out)
    gq, gr = unpack_qr(g)
    middle = add(matmul_p(r, matrix_transpose(gr)), negative(matmul_p(matrix_transpose(gq), q)))
    lower = _lower_half(middle)
    return _over_transposed(add(gq, matmul_p(q, add(lower, matrix_transpose(lower)))), r)


def _over_transposed(x: Array, r: Array) -> Array:
    """X @ inv(R.T)."""
    return matrix_transpose(solve_p(r, matrix_transpose(x)))


qr_p: Primitive = unary("qr", _qr, jvp=_qr_jvp, vjp=_qr_vjp)
