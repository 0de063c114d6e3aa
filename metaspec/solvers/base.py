"""What a solver of A x = b is (A symmetric, given by its products; b and x trees of arrays), and what solvers share."""

from collections.abc import Callable
from typing import Protocol

from metaspec.backend.protocol import Backend
from metaspec.task import Array, Solution, SolveStatus, Tree
from metaspec.trees import add_scaled

Matvec = Callable[[Tree], Tree]


class Solver(Protocol):
    """Solves (A + damping I) x = b: a frozen dataclass that `Backend.linear_solve` calls."""

    def solve(self, B: Backend, matvec: Matvec, b: Tree, x0: Tree | None) -> Solution:
        """Return x with (A + damping I) x = b, from the start x0 (None: zero) where the method iterates."""


def damped_matvec(B: Backend, matvec: Matvec, damping: float) -> Matvec:
    """Return v -> (A + damping I) v."""
    return matvec if damping == 0 else lambda x: add_scaled(B, matvec(x), damping, x)


def safe_ratio(B: Backend, where: Array, a: Array, b: Array) -> Array:
    """Return a / b where `where` holds, else 0; neither the value nor its derivatives ever divide by zero."""
    return B.xp.where(where, a / B.xp.where(where, b, B.xp.ones_like(b)), B.xp.zeros_like(a))


def solve_status(B: Backend, finite: Array, positive: Array, reached: Array) -> Array:
    """Return the SolveStatus as an int32 array of: are all values finite, is the matrix positive, is `tol` reached."""
    xp = B.xp

    def code(status: SolveStatus) -> Array:
        return xp.zeros_like(xp.astype(finite, xp.int32)) + int(status)

    curved = xp.where(positive, code(SolveStatus.STEP_LIMIT), code(SolveStatus.NEGATIVE_CURVATURE))
    return xp.where(finite, xp.where(reached, code(SolveStatus.CONVERGED), curved), code(SolveStatus.NON_FINITE))
