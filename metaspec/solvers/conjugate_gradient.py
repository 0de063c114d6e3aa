"""Conjugate gradients on A x = b, A symmetric and given by its products, b and x trees of arrays.

The method here differs from the textbook's in four points:
1. No branch depends on a value. A step that must not be taken is taken with length zero, so the same lines run eagerly,
   compiled, batched over tasks and differentiated; only the products that follow a stop are saved where values show.
2. The number of steps is fixed unless a tolerance is asked for. A stop by tolerance falls on different steps in
   different frameworks (81 % of 200 float32 systems of condition 1e3), and then results cannot be compared.
3. The right-hand side is scaled to entries of at most one, so that squares of small float32 gradients do not vanish.
4. A small tree is joined into one vector where its leaves cost more as operations of their own than as arithmetic:
   `Tuning.joined_bytes`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from metaspec.backend.loops import repeat
from metaspec.backend.protocol import Backend, bytes_of
from metaspec.checks.arguments import NOT_NEGATIVE, settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.solvers.base import Matvec, damped_matvec, safe_ratio, solve_status
from metaspec.task import Array, Solution, Tree
from metaspec.trees import (
    add_scaled,
    divide,
    dot,
    is_tree_of_arrays,
    like,
    max_abs,
    ravel,
    scale,
    subtract,
    tree_map,
    zeros_like,
)


@dataclass(frozen=True)
class ConjugateGradient:
    """Conjugate gradients (Hestenes, Stiefel 1952) on (A + damping I) x = b.

    With a preconditioner M, symmetric and positive definite, the iterates are M^-1/2 times those of the method on
    M^-1/2 (A + damping I) M^-1/2 y = M^-1/2 b: fewer steps where M is closer to the matrix than the identity is. The
    residual that stops them and is reported stays that of the system as it was given.

    Attributes:
        steps: At most this many; exactly this many where `tol` is None.
        tol: Relative residual ||b - A x|| / ||b|| at which to stop, or None for a fixed number of steps.
        damping: Added to the diagonal of A; >= 0.
        preconditioner: None; a function r -> M^-1 r of trees like b; or the diagonal of M, a tree like b of positive
            arrays that broadcast against its leaves.

    Raises:
        InvalidTypeError: A preconditioner that is neither a function nor a tree of arrays.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> A, b = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
        >>> ms.get_backend("numpy").linear_solve(lambda v: A @ v, b, ms.ConjugateGradient(steps=2)).x.round(6)
        array([0.090909, 0.636364])
    """

    steps: int = 10
    tol: float | None = None
    damping: float = 0.0
    preconditioner: Any = None

    def __post_init__(self) -> None:
        settle(self, steps=1, damping=NOT_NEGATIVE)
        if self.tol is not None:
            settle(self, tol=("None or a finite number > 0", lambda t: t > 0))
        if isinstance(self.preconditioner, bool | int | float | complex | str):
            raise InvalidTypeError(
                "ConjugateGradient: preconditioner must be a function r -> M^-1 r or a tree of arrays, the diagonal of "
                f"M; got {self.preconditioner!r} (a multiple of the identity changes nothing)"
            )

    def solve(self, B: Backend, matvec: Matvec, b: Tree, x0: Tree | None = None) -> Solution:
        """Return x with (A + damping I) x = b, from the start x0 or zero.

        Raises:
            InvalidArgumentError: A product, a preconditioner's result or a start that is no tree like b.
        """
        join, split = _joining(B, b)

        def joined(f: Callable[[Tree], Tree]) -> Callable[[Tree], Tree]:
            return lambda v: join(_like(B, f(split(v)), b))

        preconditioned = _preconditioned(B, self.preconditioner)
        solution = self._iterate(
            B,
            joined(matvec),
            join(b),
            None if x0 is None else join(_like(B, x0, b)),
            None if preconditioned is None else joined(preconditioned),
        )
        return solution._replace(x=split(solution.x))

    def _iterate(self, B: Backend, matvec: Matvec, b: Tree, x0: Tree | None, preconditioned: Matvec | None) -> Solution:
        xp = B.xp

        def direction(r: Tree, rr: Array) -> tuple[Tree, Array]:
            """Return M^-1 r and <r, M^-1 r>."""
            if preconditioned is None:
                return r, rr
            z = preconditioned(r)
            return z, dot(B, r, z)

        size = max_abs(B, b)
        size = xp.where(size > 0, size, xp.ones_like(size))
        b = divide(B, b, size)
        damped = damped_matvec(B, matvec, self.damping)
        x = zeros_like(B, b) if x0 is None else divide(B, x0, size)
        r = b if x0 is None else subtract(B, b, damped(x))
        rr, bb = dot(B, r, r), dot(B, b, b)
        p, rz = direction(r, rr)
        # Without a tolerance the recurrence goes on until further steps are far below roundoff.
        threshold = (self.tol if self.tol is not None else 0.01 * xp.finfo(rr.dtype).eps) ** 2 * bb
        finite = xp.isfinite(rr)
        state = _State(x, r, p, rr, rz, finite, xp.ones_like(finite), finite & (rr > threshold), xp.zeros_like(rr))

        def step(state: _State) -> _State:
            x, r, p, rr, rz, finite, positive, going, taken = state
            Ap = damped(p)
            pAp = dot(B, p, Ap)
            finite = finite & (xp.isfinite(pAp) | xp.logical_not(going))
            positive = positive & (((pAp > 0) & (rz > 0)) | xp.logical_not(going) | xp.logical_not(finite))
            going = going & finite & positive
            alpha = safe_ratio(B, going, rz, pAp)
            x = add_scaled(B, x, alpha, p)
            r = add_scaled(B, r, -alpha, Ap)
            rr = dot(B, r, r)
            z, rz_next = direction(r, rr)
            p = add_scaled(B, z, safe_ratio(B, going, rz_next, rz), p)
            taken = taken + xp.astype(going, taken.dtype)
            return _State(x, r, p, rr, rz_next, finite, positive, going & (rr > threshold), taken)

        state = repeat(B, step, state, self.steps, lambda state: None if self.tol is None else state.going, "solve")
        x, rr = state.x, state.rr
        reached = rr <= (threshold if self.tol is not None else xp.finfo(rr.dtype).eps ** 2 * bb)
        residual = safe_ratio(B, bb > 0, xp.sqrt(rr), xp.sqrt(xp.where(bb > 0, bb, xp.ones_like(bb))))
        status = solve_status(B, state.finite, state.positive, reached)
        return Solution(scale(B, size, x), status, xp.astype(state.taken, xp.int32), residual)


class _State(NamedTuple):
    """State between two steps: iterate x, residual r, direction p, <r, r>, <r, M^-1 r>, and how the solve stands."""

    x: Tree
    r: Tree
    p: Tree
    rr: Array
    rz: Array
    finite: Array
    positive: Array
    going: Array
    taken: Array


def _joining(B: Backend, b: Tree) -> tuple[Callable[[Tree], Tree], Callable[[Tree], Tree]]:
    """Return the maps from trees like b to what the iteration works on, and back: a vector within `joined_bytes`."""
    leaves = B.tree_flatten(b)[0]
    dtypes = {B.dtype_name(leaf) for leaf in leaves}
    several = len(leaves) > 1 and len(dtypes) == 1
    if not several or sum(prod(leaf.shape) for leaf in leaves) * bytes_of(*dtypes) > B.tuning.joined_bytes:
        return lambda tree: tree, lambda tree: tree
    return lambda tree: ravel(B, tree)[0], ravel(B, b)[1]


def _like(B: Backend, x: Tree, b: Tree) -> Tree:
    """Check that a product, a preconditioner's result or a start is a tree like b, and return it.

    Raises:
        InvalidArgumentError: It is no tree like b.
    """

    def checked(expected: Array, leaf: Array) -> Array:
        if tuple(leaf.shape) != tuple(expected.shape):
            raise InvalidArgumentError(
                f"linear_solve: products, preconditioner and start must be trees like b, here with a leaf of shape "
                f"{tuple(expected.shape)}; got {tuple(leaf.shape)}"
            )
        return leaf

    return tree_map(B, checked, b, x)


def _preconditioned(B: Backend, preconditioner: Any) -> Callable[[Tree], Tree] | None:
    if preconditioner is None:
        return None
    if not is_tree_of_arrays(B, preconditioner):
        function: Callable[[Tree], Tree] = preconditioner
        return function
    return lambda r: tree_map(B, lambda a, d: a / like(B, d, a), r, preconditioner)
