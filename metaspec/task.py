"""What goes into a meta-gradient and what comes out: plain named tuples, so every framework sees them as trees."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

Tree = Any
Array = Any
Loss = Callable[[Tree, Tree], tuple[Array, Any]]
"""(params, batch) -> (value, aux): the form that the algorithms see; `lift_loss` brings a user's loss to it."""


class Task(NamedTuple):
    """One few-shot problem: two trees of arrays (any trees: the loss alone reads them).

    `support` is what the inner loop adapts on (D^tr in the papers), `query` what the adapted parameters are judged on
    (D^test). A *stacked* batch of tasks is one Task whose every leaf has a leading axis over tasks.
    """

    support: Tree
    query: Tree


class SolveStatus(IntEnum):
    """How a linear solve ended."""

    CONVERGED = 0  # the relative residual is at or below `tol`, or the system is solved to roundoff
    STEP_LIMIT = 1  # all steps were taken; with `tol=None` the normal end
    NEGATIVE_CURVATURE = 2  # p.Ap <= 0: the operator is not positive definite; the last good iterate is kept
    NON_FINITE = 3  # NaN or infinity in the right-hand side or in a product


class Solution(NamedTuple):
    """The result of `linear_solve`: `x` with A x = b up to `residual` = ||b - A x|| / ||b||.

    `status` is a SolveStatus as an integer array (it may be batched or traced), `steps` the number of steps taken.
    """

    x: Tree
    status: Array
    steps: Array
    residual: Array


class Diagnostics(NamedTuple):
    """What the computation knows of itself. A member that an algorithm does not have is None.

    `finite`: no NaN or infinity in `adapted` or `delta`. `query_loss`: the loss on the query set, per task.
    `stationarity`: norm of the gradient of the inner objective at the adapted parameters (iMAML: how far from the
    proximal optimum the inner loop stopped). `solve_status`, `solve_steps`, `solve_residual`: see Solution.
    """

    finite: Array
    query_loss: Array
    stationarity: Array | None = None
    solve_status: Array | None = None
    solve_steps: Array | None = None
    solve_residual: Array | None = None


class MetaGradient(NamedTuple):
    """The result of `meta_gradient`, and, averaged over tasks, of `batch_meta_gradient`.

    `delta`: the meta-update, a tree like `params`; an outer step is params <- params - beta * delta.
    `query_loss`: loss of the adapted parameters on the query set (of a batch: the mean over tasks).
    `adapted`: the adapted parameters theta_K (of a batch: stacked, axis 0 over tasks).
    `diagnostics`: see Diagnostics (of a batch: stacked).
    `aux`: what the loss returned beside its value on the query set, with `has_aux=True` (of a batch: stacked).
    """

    delta: Tree
    query_loss: Array
    adapted: Tree
    diagnostics: Diagnostics
    aux: Any = None
