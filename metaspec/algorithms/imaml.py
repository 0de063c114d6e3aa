"""iMAML (Rajeswaran, Finn, Kakade, Levine 2019, "Meta-Learning with Implicit Gradients").

    theta = argmin l_support(theta) + (regularization / 2) ||theta - phi||^2,  by the inner rule, from phi
    delta = (I + H / regularization)^{-1} grad l_query(theta),  H the Hessian of l_support at theta

The solve needs the final point alone, so memory does not grow with the number of inner steps. An inner solution that is
off by e and a solve that is off by e' give an error O(e + e').

With a strength for each entry, D = diag(lambda), and w = (H + D)^{-1} grad l_query(theta) (Chen et al. 2020):

    delta = D w,   d l_query / d lambda_i = -(theta_i - phi_i) w_i

The system that is solved is (I + D^{-1/2} H D^{-1/2}) y = D^{-1/2} grad l_query, w = D^{-1/2} y, which is the one above
where all strengths are equal.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metaspec.algorithms.base import query_gradient, result
from metaspec.algorithms.inner_loop import InnerLoop, inner_loop
from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_members
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import InnerRule, check_inner, learned_inputs
from metaspec.inner.learned import Learned, initial_meta, with_learned
from metaspec.inner.proximal import Proximal, checked_strength, proximal_gradient, strength, strength_input
from metaspec.solvers.base import Solver
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import add, divide, is_tree_of_arrays, norm, tree_map


@dataclass(frozen=True)
class IMAML:
    """iMAML: the implicit meta-gradient of a proximally regularised inner problem.

    `diagnostics.stationarity` is the norm of the inner objective's gradient at the point where the inner loop stopped,
    `diagnostics.solve_*` how the linear solve ended.

    Attributes:
        inner: The inner rule; it minimises the proximal objective. The solution does not depend on its numbers, so none
            of them can be learned.
        regularization: lambda > 0, the strength of the proximal term: a number, a tree that broadcasts against
            `params`, `Learned`, or `Sigma`.
        solver: Of (I + H / lambda) delta = g: ConjugateGradient or DenseSolve.
        start: Where the solve starts: None, zero; a tree like `params`, the meta-update of the step before, say; or a
            function of the task that gives such a tree, for tasks that come again and carry their last solution with
            them (`lambda task: task.support["start"]`). Nothing is remembered from call to call: within `compile` make
            the algorithm inside the function, with the start among its arguments.

    Raises:
        InvalidArgumentError: `regularization` is a number that is not finite or not > 0; `start` is a tree unlike
            `params`; an input of `inner` is learned.

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

    inner: InnerRule
    regularization: Any
    solver: Solver = field(default_factory=ConjugateGradient)
    start: Any = None

    def __post_init__(self) -> None:
        check_inner(self.inner, "IMAML")
        check_members(self.solver, "IMAML: solver", ("solve",), "ConjugateGradient(steps=5)")
        object.__setattr__(self, "regularization", checked_strength(self.regularization, "IMAML"))
        if learned := learned_inputs(self.inner):
            raise InvalidArgumentError(
                f"IMAML: the solution does not depend on {', '.join(learned)} of the inner rule; give a number, there "
                "is nothing to learn"
            )

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return what is meta-learned: a Meta of `params` and the strength, or `params` where it is not learned."""
        return initial_meta(self._learned, params, self.inner.steps, backend)

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return the proximal optimum on `batch`, as far as the inner rule gets."""
        return self.inner_loop(B, loss, params, batch).end()[0]

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return delta as the module's formula has it; one linearisation serves all products of the solve."""
        loop = self.inner_loop(B, loss, params, task.support)
        phi, (theta, state) = loop.params, loop.end()
        gradient, hvp = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])(theta, task.support)
        query_loss, aux, g = query_gradient(B, loss, theta, task)
        start = self._start(B, task)
        if isinstance(self.regularization, float):
            strengths = tree_map(B, lambda leaf: self.regularization, phi)
            solution = B.linear_solve(
                lambda v: add(B, v, divide(B, hvp(v), self.regularization)), g, self.solver, start
            )
            delta = solution.x
        else:
            strengths, pull = B.vjp(lambda learned: self._strengths(loop, learned), dict(loop.learned))
            root = tree_map(B, B.xp.sqrt, strengths)
            scaled = self._scaling(B, root)
            solution = B.linear_solve(
                lambda v: add(B, v, scaled(hvp(scaled(v)))),
                scaled(g),
                self.solver,
                None if start is None else scaled(start),
            )
            w = scaled(solution.x)
            delta = tree_map(B, lambda c, w: c * w, strengths, w)
            if loop.learned:
                entries = tree_map(B, lambda theta, phi, w: (phi - theta) * w, theta, phi, w)
                delta = with_learned(delta, pull(entries)[0])
        return result(
            B,
            delta,
            theta,
            query_loss,
            aux,
            state,
            stationarity=norm(B, proximal_gradient(B, gradient, strengths, theta, phi)),
            solve_status=solution.status,
            solve_steps=solution.steps,
            solve_residual=solution.residual,
        )

    @property
    def _learned(self) -> dict[str, Learned]:
        return learned_inputs(Proximal(self.inner, self.regularization))

    def inner_loop(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> InnerLoop:
        """Return the inner loop from `params` on `batch`, on the proximal objective."""
        return inner_loop(B, Proximal(self.inner, self.regularization), loss, params, batch, algorithm="IMAML")

    def _strengths(self, loop: InnerLoop, learned: dict[str, Tree]) -> Tree:
        """Return lambda for every entry of the parameters."""
        B, phi = loop.B, loop.params
        hyper = {
            name: given.resolve(B, learned[name], phi, 0) if isinstance(given, Learned) else given
            for name, given in strength_input(self.regularization).items()
        }
        return tree_map(B, lambda c, leaf: c + B.xp.zeros_like(leaf), strength(B, hyper, phi), phi)

    def _scaling(self, B: Backend, root: Tree) -> Callable[[Tree], Tree]:
        return lambda v: tree_map(B, lambda c, x: x / c, root, v)

    def _start(self, B: Backend, task: Task) -> Tree | None:
        if self.start is None or is_tree_of_arrays(B, self.start):
            return self.start
        return self.start(task)
