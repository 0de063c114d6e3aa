"""A loss's gradient, Hessian and its products as functions of one flat vector of parameters, traced once."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.task import Tree
from metaspec_conformance.audit import problem as problems
from metaspec_conformance.oracles.extended_precision import EXACT, Rounding

Shapes = Sequence[tuple[int, ...]]


def places(shapes: Shapes) -> tuple[slice, ...]:
    """Where each leaf stands in a vector."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))


class Derivatives:
    """Functions of a vector and a batch, shared by all objectives of one loss whose parameters look alike.

    Args:
        B: The backend that computes.
        loss: `loss(params, batch)`.
        structure: Of the parameters' tree.
        shapes: Of its leaves.
        rounding: Errors to be made in every operation, on NumPy alone.

    Attributes:
        gradient: (v, batch) -> vector.
        product: (v, batch, u) -> the Hessian times u.
        hessian: (v, batch) -> matrix.
        rows: (vectors, batch) -> what "g" the gradients and "H" the Hessians are at each of them; on NumPy alone.
    """

    def __init__(
        self,
        B: Backend,
        loss: Callable[[Tree, Tree], Any],
        structure: Any,
        shapes: Shapes,
        rounding: Rounding = EXACT,
    ) -> None:
        slices, portable = places(shapes), B.name == problems.REFERENCE
        size = slices[-1].stop if slices else 0

        def value(v: Any, batch: Tree) -> Any:
            leaves = [B.xp.reshape(v[s], shape) for s, shape in zip(slices, shapes, strict=True)]
            return loss(B.tree_unflatten(structure, leaves), batch)

        def matrix(v: Any, batch: Tree) -> Any:
            _, hvp = B.linearize_grad(value)(v, batch)
            return B.vmap(hvp)(B.xp.eye(size, dtype=v.dtype))

        def by_product(v: Any, batch: Tree) -> Any:
            """The matrix where a framework's vmap may not know all of a user's loss; one product is traced."""
            return B.xp.stack([self.product(v, batch, B.asarray(row, dtype=B.dtype_name(v))) for row in np.eye(size)])

        def each(f: Callable[..., Any]) -> Callable[..., Any]:
            return B.compile(lambda vs, batch: B.vmap(lambda v: f(v, batch))(vs))

        exact = rounding.factors is None or not portable
        make: Callable[..., Any] = B.compile if exact else lambda f: rounding.everywhere(B, f)
        self.gradient = make(B.grad(value))
        self.product = make(lambda v, batch, u: B.hvp(lambda x: value(x, batch))(v, u))
        self.hessian = make(matrix) if portable else by_product
        self.rows = {"g": each(B.grad(value)), "H": each(matrix)}


@cache
def of_supplied(kind: str) -> Derivatives:
    """The derivatives of a supplied problem's loss."""
    B = get_backend(problems.REFERENCE)
    leaves, structure = B.tree_flatten({name: np.zeros(shape) for name, shape in problems.shapes().items()})
    return Derivatives(B, problems.loss(kind), structure, [leaf.shape for leaf in leaves])
