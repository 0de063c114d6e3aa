"""iMAML (Rajeswaran, Finn, Kakade, Levine 2019, "Meta-Learning with Implicit Gradients").

    theta = argmin l_support(theta) + (regularization / 2) ||theta - phi||^2,  by the inner optimiser, from phi
    delta = (I + H / regularization)^{-1} grad l_query(theta),  H the Hessian of l_support at theta

The solve needs the final point alone, so memory does not grow with the number of inner steps. An inner solution that is
off by e and a solve that is off by e' give an error O(e + e').
"""

from dataclasses import dataclass, field
from typing import Any

from metaspec.algorithms.base import gradient_on, query_gradient, result
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_members, checked_number
from metaspec.inner.base import InnerOptimizer, check_inner, descend
from metaspec.solvers.base import Solver
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import add, add_scaled, divide, is_tree_of_arrays, norm, subtract


@dataclass(frozen=True)
class IMAML:
    """iMAML: the implicit meta-gradient of a proximally regularised inner problem.

    `diagnostics.stationarity` is the norm of the inner objective's gradient at the point where the inner loop stopped,
    `diagnostics.solve_*` how the linear solve ended.

    Attributes:
        inner: The inner optimiser; it minimises the proximal objective.
        regularization: lambda > 0, the strength of the proximal term.
        solver: Of (I + H / lambda) delta = g: ConjugateGradient or DenseSolve.
        start: Where the solve starts: None, zero; a tree like `params`, the meta-update of the step before, say; or a
            function of the task that gives such a tree, for tasks that come again and carry their last solution with
            them (`lambda task: task.support["start"]`). Nothing is remembered from call to call: within `compile` make
            the algorithm inside the function, with the start among its arguments.

    Raises:
        InvalidArgumentError: `regularization` is not a finite number > 0; `start` is a tree unlike `params`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> algo = ms.IMAML(ms.GradientDescent(0.1, steps=50), regularization=2.0, solver=ms.ConjugateGradient(steps=5))
        >>> float(ms.meta_gradient(algo, loss, params, task(2.0)).delta["w"].round(6))  # theta* = 1.5, H = 2
        -1.5
    """

    inner: InnerOptimizer
    regularization: float
    solver: Solver = field(default_factory=ConjugateGradient)
    start: Any = None

    def __post_init__(self) -> None:
        check_inner(self.inner, "IMAML")
        check_members(self.solver, "IMAML: solver", ("solve",), "ConjugateGradient(steps=5)")
        strength = checked_number(
            self.regularization,
            "IMAML: regularization",
            "a finite number > 0 (MAML has no proximal term)",
            lambda x: x > 0,
        )
        object.__setattr__(self, "regularization", strength)

    def adapt(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """The proximal optimum on `batch`, as far as the inner optimiser gets."""
        gradient = gradient_on(B, loss, batch)
        return descend(B, self.inner, lambda theta: self._proximal(B, gradient(theta), theta, params), params)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """The support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Delta as the module's formula has it; one linearisation serves all products of the solve."""
        theta = self.adapt(B, loss, params, task.support)
        gradient, hvp = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])(theta, task.support)
        query_loss, aux, g = query_gradient(B, loss, theta, task)
        solution = B.linear_solve(
            lambda v: add(B, v, divide(B, hvp(v), self.regularization)), g, self.solver, self._start(B, task)
        )
        return result(
            B,
            solution.x,
            theta,
            query_loss,
            aux,
            stationarity=norm(B, self._proximal(B, gradient, theta, params)),
            solve_status=solution.status,
            solve_steps=solution.steps,
            solve_residual=solution.residual,
        )

    def _start(self, B: Backend, task: Task) -> Tree | None:
        if self.start is None or is_tree_of_arrays(B, self.start):
            return self.start
        return self.start(task)

    def _proximal(self, B: Backend, gradient: Tree, theta: Tree, params: Tree) -> Tree:
        """grad l + lambda (theta - phi)."""
        return add_scaled(B, gradient, self.regularization, subtract(B, theta, params))
