"""The matrix product of stacks of matrices; the ranks below 2 are dealt with in `functions.contractions`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy

from metaspec_numpy.tracer.core import Array, Params, Primitive
from metaspec_numpy.tracer.rules.elementwise_rules import add
from metaspec_numpy.tracer.rules.structure import align, matrix_transpose, reshape, sum_to


def _matmul(xp: Any, a: Array, b: Array) -> Array:
    if xp is numpy and a.shape[-1] == 1:  # an outer product
        return numpy.multiply(a, b)
    if xp is numpy and b.ndim == 2 and a.ndim > 2:  # one large product instead of many small ones
        inner, columns = b.shape
        return numpy.matmul(a.reshape(math.prod(a.shape[:-1]), inner), b).reshape(*a.shape[:-1], columns)
    return xp.matmul(a, b)


def _jvp(tangents: Sequence[Array | None], out: Array, a: Array, b: Array) -> Array | None:
    ta, tb = tangents
    if ta is None or tb is None:
        return matmul_p(a, tb) if ta is None else matmul_p(ta, b)
    return add(matmul_p(ta, b), matmul_p(a, tb))


def _vjp(argnum: int, g: Array, out: Array, a: Array, b: Array) -> Array:
    if argnum == 0:
        return sum_to(matmul_p(g, matrix_transpose(b)), a.shape)
    if b.ndim == 2 and a.ndim > 2:  # the sum over the stack is part of the product
        rows = math.prod(a.shape[:-1])
        a, g = reshape(a, shape=(rows, a.shape[-1])), reshape(g, shape=(rows, g.shape[-1]))
    return sum_to(matmul_p(matrix_transpose(a), g), b.shape)


def _batch(size: int, flags: Sequence[bool], args: Sequence[Any], params: Params) -> Array:
    a, b = args
    if flags == [True, False] and b.ndim == 2:
        return matmul_p(a, b)
    return matmul_p(*align(args, flags))


matmul_p: Primitive = Primitive("matmul", _matmul, jvp=_jvp, vjp=_vjp, batch=_batch)
