"""Products that sum over axes, all by way of the product of stacks of matrices."""

import math
from collections.abc import Sequence

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.complex_values import conjugate
from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions.shaping import expand_dims, moveaxis, permute_dims, reshape, squeeze
from metaspec_numpy.tracer.outputs import as_array
from metaspec_numpy.tracer.rules.matmul import matmul_p
from metaspec_numpy.tracer.rules.structure import normalize_axis


def matmul(a: Array, b: Array, /) -> Array:
    """The matrix product; a vector on the left is a row, on the right a column, and leaves no axis behind."""
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise InvalidArgumentError(f"matmul: the shapes {a.shape} and {b.shape} do not fit")
    rows = a if a.ndim > 1 else expand_dims(a, axis=0)
    columns = b if b.ndim > 1 else expand_dims(b, axis=1)
    out = matmul_p(rows, columns)
    out = out if b.ndim > 1 else squeeze(out, -1)
    return out if a.ndim > 1 else squeeze(out, -1 if b.ndim == 1 else -2)


def vecdot(a: Array, b: Array, /, *, axis: int = -1) -> Array:
    """The sum of conj(a) * b over `axis`, after broadcasting the others."""
    a, b = moveaxis(conjugate(a), axis, -1), moveaxis(b, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise InvalidArgumentError(f"vecdot: the shapes {a.shape} and {b.shape} differ along the axis of the sum")
    product = matmul_p(expand_dims(a, axis=-2), expand_dims(b, axis=-1))
    return squeeze(product, (-2, -1))


def tensordot(a: Array, b: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    """The sum of products over pairs of axes: the last n of a and the first n of b, or those given."""
    if isinstance(axes, int):
        pair = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        left, right = ((ax,) if isinstance(ax, int) else ax for ax in axes)
        pair = tuple(normalize_axis(i, a.ndim) for i in left), tuple(normalize_axis(i, b.ndim) for i in right)
    if [a.shape[i] for i in pair[0]] != [b.shape[i] for i in pair[1]]:
        raise InvalidArgumentError(f"tensordot: the axes {axes} of shapes {a.shape} and {b.shape} do not match")
    free_a = [i for i in range(a.ndim) if i not in pair[0]]
    free_b = [i for i in range(b.ndim) if i not in pair[1]]
    inner = math.prod(a.shape[i] for i in pair[0])
    shape_a, shape_b = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    rows = reshape(permute_dims(a, [*free_a, *pair[0]]), (math.prod(shape_a), inner))
    columns = reshape(permute_dims(b, [*pair[1], *free_b]), (inner, math.prod(shape_b)))
    return reshape(matmul_p(rows, columns), (*shape_a, *shape_b))


def outer(a: Array, b: Array, /) -> Array:
    """All products of an element of a with an element of b."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def dot(a: Array, b: Array, /) -> Array:
    """NumPy's dot: the sum over the last axis of a and the last but one of b, all other axes side by side."""
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))
