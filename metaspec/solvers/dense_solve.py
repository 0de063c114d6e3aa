"""A direct solve of A x = b by the matrix written out; for small trees."""

from dataclasses import dataclass

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import NOT_NEGATIVE, settle
from metaspec.errors import InvalidArgumentError
from metaspec.solvers.base import Matvec, damped_matvec, safe_ratio, solve_status
from metaspec.task import Array, Solution, Tree
from metaspec.trees import norm, ravel, subtract


@dataclass(frozen=True)
class DenseSolve:
    """Direct solve of (A + damping I) x = b, A written out by its products with the unit vectors; for small trees.

    Attributes:
        damping: Added to the diagonal of A; >= 0.
        max_size: The largest number of unknowns that is accepted (the matrix has its square of entries).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> A, b = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
        >>> ms.get_backend("numpy").linear_solve(lambda v: A @ v, b, ms.DenseSolve()).x.round(6)
        array([0.090909, 0.636364])
    """

    damping: float = 0.0
    max_size: int = 4096

    def __post_init__(self) -> None:
        settle(self, damping=NOT_NEGATIVE, max_size=1)

    def solve(self, B: Backend, matvec: Matvec, b: Tree, x0: Tree | None = None) -> Solution:
        """Return x with (A + damping I) x = b; the start x0 has no effect.

        Raises:
            InvalidArgumentError: b has more than `max_size` entries.
        """
        xp = B.xp
        vector, unravel = ravel(B, b)
        (n,) = vector.shape
        if n > self.max_size:
            raise InvalidArgumentError(
                f"DenseSolve: {n} unknowns are more than max_size={self.max_size}; use ConjugateGradient, or raise "
                "max_size if the matrix fits into memory"
            )
        damped = damped_matvec(B, matvec, self.damping)
        positions = xp.cumulative_sum(xp.ones_like(vector))  # made from b, so on its device
        unit = xp.astype(positions[:, None] == positions[None, :], vector.dtype)
        rows = B.vmap(lambda e: ravel(B, damped(unravel(e)))[0])(unit)
        x = unravel(_dense_solution(B, rows, vector))
        residual = norm(B, subtract(B, b, damped(x)))
        size = norm(B, b)
        finite = xp.isfinite(residual) & xp.isfinite(size)
        steps = xp.astype(xp.zeros_like(residual), xp.int32) + 1
        return Solution(
            x, solve_status(B, finite, xp.ones_like(finite), finite), steps, safe_ratio(B, size > 0, residual, size)
        )


def _dense_solution(B: Backend, matrix: Array, b: Array) -> Array:
    """Return matrix^-1 b; NaN where it is singular or not finite, for which some frameworks raise an error."""
    if 0 in b.shape:
        return b
    try:
        return B.xp.linalg.solve(matrix, b[:, None])[:, 0]
    except Exception:
        if not B.is_concrete(matrix):
            raise
        return b * float("nan")
