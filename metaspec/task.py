"""Inputs and results of a meta-gradient: plain named tuples, so every framework sees them as trees."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

Tree = Any
Array = Any
Loss = Callable[[Tree, Tree], tuple[Array, Any]]
"""(params, batch) -> (value, aux): the form that the algorithms see; `lift_loss` brings a user's loss to it."""


class Task(NamedTuple):
    """A few-shot problem: two trees of arrays, which the loss alone reads.

    A *stacked* batch of tasks is one Task whose every leaf has a leading axis over tasks.

    Attributes:
        support: What the inner loop adapts on (D^tr in the papers).
        query: What the adapted parameters are evaluated on (D^test).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> support = {"x": np.zeros((5, 1)), "y": np.zeros((5, 1))}
        >>> query = {"x": np.zeros((15, 1)), "y": np.zeros((15, 1))}
        >>> ms.Task(support, query).query["x"].shape
        (15, 1)
    """

    support: Tree
    query: Tree


class SolveStatus(IntEnum):
    """Outcome of a linear solve.

    Example:
        >>> import metaspec as ms
        >>> ms.SolveStatus(2).name
        'NEGATIVE_CURVATURE'
    """

    CONVERGED = 0  # the relative residual is at or below `tol`, or the system is solved to roundoff
    STEP_LIMIT = 1  # all steps were taken; with `tol=None` the normal end
    NEGATIVE_CURVATURE = 2  # p.Ap <= 0: the operator is not positive definite; the last good iterate is kept
    NON_FINITE = 3  # NaN or infinity in the right-hand side or in a product


class Solution(NamedTuple):
    """Result of `Backend.linear_solve`: x with A x = b up to a relative residual.

    Attributes:
        x: The solution, a tree like b.
        status: A SolveStatus as an integer array (it may be batched or traced).
        steps: The number of steps taken.
        residual: ||b - A x|| / ||b||.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> s = ms.get_backend("numpy").linear_solve(lambda v: 2 * v, np.array([2.0, 4.0]), ms.ConjugateGradient())
        >>> s.x, ms.SolveStatus(int(s.status)).name, int(s.steps)
        (array([1., 2.]), 'CONVERGED', 1)
    """

    x: Tree
    status: Array
    steps: Array
    residual: Array


class Diagnostics(NamedTuple):
    """What a computation knows of itself; what an algorithm does not have is None. Of a batch each is stacked.

    Attributes:
        finite: Whether `adapted`, `delta` and `query_loss` have no NaN and no infinity.
        query_loss: The loss on the query set, per task.
        stationarity: Norm of the inner objective's gradient at the adapted parameters (iMAML: how far from the proximal
            optimum the inner loop stopped).
        solve_status: As in `Solution`, of iMAML's linear solve.
        solve_steps: Likewise.
        solve_residual: Likewise.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> algo = ms.IMAML(ms.GradientDescent(lr=0.1, steps=50), regularization=2.0)
        >>> d = ms.meta_gradient(algo, loss, params, task(2.0)).diagnostics
        >>> bool(d.finite), bool(d.stationarity < 1e-6), ms.SolveStatus(int(d.solve_status)).name
        (True, True, 'CONVERGED')
    """

    finite: Array
    query_loss: Array
    stationarity: Array | None = None
    solve_status: Array | None = None
    solve_steps: Array | None = None
    solve_residual: Array | None = None


class MetaGradient(NamedTuple):
    """Result of `meta_gradient`, and, averaged over tasks, of `batch_meta_gradient`.

    Attributes:
        delta: The meta-update, a tree like `params`; an outer step is params <- params - beta * delta.
        query_loss: The loss of the adapted parameters on the query set (of a batch: the mean over tasks).
        adapted: The adapted parameters theta_K (of a batch: stacked, axis 0 over tasks).
        diagnostics: See Diagnostics (of a batch: stacked).
        aux: What the loss returned beside its value on the query set, with `has_aux=True` (of a batch: stacked).
        state: The inner rule's `RuleState` after the adaptation, where one was given (of a batch: the mean over tasks).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(lr=0.1, steps=1)), loss, params, task(2.0))
        >>> {"w": params["w"] - 0.01 * r.delta["w"]}  # an outer step
        {'w': np.float64(1.036)}
    """

    delta: Tree
    query_loss: Array
    adapted: Tree
    diagnostics: Diagnostics
    aux: Any = None
    state: Any = None
