"""sigma-Reptile (Chen et al. 2020, "Modular Meta-Learning with Shrinkage").

    theta = argmin l_support(theta) + sum_i (theta_i - phi_i)^2 / (2 sigma_i^2),  by the inner rule, from phi
    delta = D (phi - theta),  D = diag(1 / sigma^2)

delta is the gradient of the inner optimum's value in phi (its Moreau envelope). That value is least at sigma = 0,
where theta = phi, so sigma follows the query loss in its place: with w = (H + D)^{-1} grad l_query(theta),

    d l_query / d sigma_i = 2 (theta_i - phi_i) w_i / sigma_i^3
"""

from dataclasses import dataclass, field

from metaspec.algorithms.base import result
from metaspec.algorithms.imaml import IMAML
from metaspec.algorithms.inner_loop import InnerLoop
from metaspec.backend.protocol import Backend
from metaspec.inner.base import InnerRule
from metaspec.inner.learned import Learned, Meta
from metaspec.inner.proximal import Sigma, strength
from metaspec.solvers.base import Solver
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import tree_map


@dataclass(frozen=True)
class SigmaReptile:
    """Reptile's displacement, each module's in units of its variance sigma^2, which is learned with the parameters.

    Attributes:
        inner: The inner rule; it minimises the proximal objective on the support set.
        sigma: `Learned`: its width for all, for each leaf, for each entry, or for groups of leaves.
        solver: Of the system for sigma's gradient, as for `IMAML`.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.SigmaReptile(ms.GradientDescent(lr=0.1, steps=20), ms.Learned(1.0, per="leaf"))
    """

    inner: InnerRule
    sigma: Learned = field(default_factory=lambda: Learned(1.0, per="leaf"))
    solver: Solver = field(default_factory=ConjugateGradient)

    def __post_init__(self) -> None:
        _ = self._implicit  # checks the arguments

    @property
    def _implicit(self) -> IMAML:
        return IMAML(self.inner, Sigma(self.sigma), self.solver)

    def init(self, params: Tree, *, backend: str | Backend | None = None) -> Tree:
        """Return Meta(params, {"sigma": ...})."""
        return self._implicit.init(params, backend=backend)

    def adapt_to(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> Tree:
        """Return the proximal optimum on `batch`, as far as the inner rule gets."""
        return self._implicit.adapt_to(B, loss, params, batch)

    def inner_loop(self, B: Backend, loss: Loss, params: Tree, batch: Tree) -> InnerLoop:
        """Return the inner loop from `params` on `batch`, on the proximal objective."""
        return self._implicit.inner_loop(B, loss, params, batch)

    def inner_batch(self, B: Backend, task: Task) -> Tree:
        """Return the support set."""
        return task.support

    def meta_gradient(self, B: Backend, loss: Loss, params: Tree, task: Task) -> MetaGradient:
        """Return delta as the module's formulas have it."""
        r = self._implicit.meta_gradient(B, loss, params, task)
        phi, sigma = params.params, params.learned["sigma"]
        strengths = strength(B, {"sigma": self.sigma.resolve(B, sigma, phi, 0)}, phi)
        moved = tree_map(B, lambda c, x0, x: c * (x0 - x), strengths, phi, r.adapted)
        return result(B, Meta(moved, r.delta.learned), r.adapted, r.query_loss, r.aux, r.state, **_solve(r))


def _solve(r: MetaGradient) -> dict[str, object]:
    named = r.diagnostics._asdict()
    return {name: named[name] for name in ("stationarity", "solve_status", "solve_steps", "solve_residual")}
