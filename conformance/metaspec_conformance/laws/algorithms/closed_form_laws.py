"""Laws of quadratics, which have closed forms, in NumPy's longdouble.

With l(v; S) = v·Av/2 − b·v and l(v; Q) = v·Bv/2 − c·v the path is a geometric sum, and a meta-update a product of
matrices or an inverse. A and B couple all leaves, so nothing here is right leaf by leaf.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Tree
from metaspec_conformance.judging.numpy_trees import cast, ravel, unravel
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios
from metaspec_conformance.oracles import dense_oracle, quadratic
from metaspec_conformance.oracles.quadratic import QuadraticForm
from metaspec_conformance.scenarios.scenario import Scenario

Vector = Any


@dataclass(frozen=True)
class Plain:
    """A scenario on quadratics as vectors and matrices in longdouble."""

    phi: Vector
    rates: Vector
    support: QuadraticForm
    query: QuadraticForm
    strength: Any
    steps: int

    @classmethod
    def of(cls, scenario: Scenario) -> "Plain":
        """Return the forms of the scenario's first task; without a query set the support set stands for it."""
        algo: Any = scenario.algorithm
        params, task = cast((scenario.params, scenario.tasks[0]), np.longdouble)
        phi, rates = ravel(params), quadratic.rate_vector(algo.inner.lr, params)
        support = quadratic.form(scenario.loss, task.support)
        query = support if task.query is None else quadratic.form(scenario.loss, task.query)
        strength = np.longdouble(getattr(algo, "regularization", 0))
        return cls(phi, rates, support, query, strength, algo.inner.steps)

    def reached(self, on: QuadraticForm) -> Vector:
        """Phi - sum_{j < K} (I - R (A + lambda I))^j R grad l(phi)."""
        term, path = self.rates * on.gradient(self.phi), self.phi
        for _ in range(self.steps):
            path, term = path - term, term - self.rates * (_times(on.H, term) + self.strength * term)
        return path


def _times(A: Any, v: Vector) -> Vector:
    return np.sum(A * v, axis=-1)


def _on_quadratics(*names: str) -> Callable[[Scenario], bool]:
    return lambda scenario: scenario.oracle == "quadratic" and algorithm(*names)(scenario)


def _like(at: LawContext, vector: Vector) -> Tree:
    return unravel(vector, at.scenario.params)


@law(
    "θ_K = φ − Σ_{j<K} (I − R(A + λI))^j R ∇l(φ; S), λ = 0 but for iMAML",
    "MS-INNER-1",
    "MS-INNER-2",
    "MS-ADAPT-1",
    "MS-AGREE-1",
    on=scenarios("least-squares/reptile/steps-3", "least-squares/imaml/steps-3", "per-leaf-rates/maml"),
    applies=_on_quadratics("MAML", "FOMAML", "Reptile", "IMAML"),
)
def descent_on_a_quadratic(at: LawContext) -> Iterator[Claim]:
    plain = Plain.of(at.scenario)
    yield Equal("adapted", at.adapt(), _like(at, plain.reached(plain.support)))


@law(
    "Δ = (I − AR)^K (Bθ_K − c)",
    "MS-MAML-1",
    "MS-INNER-2",
    "MS-AGREE-1",
    on=scenarios("least-squares/maml/steps-3", "identity-hessian/maml", "per-leaf-rates/maml"),
    applies=_on_quadratics("MAML"),
)
def maml_on_a_quadratic(at: LawContext) -> Iterator[Claim]:
    plain = Plain.of(at.scenario)
    v = plain.query.gradient(plain.reached(plain.support))
    for _ in range(plain.steps):
        v = v - _times(plain.support.H, plain.rates * v)
    yield Equal("delta", at.meta_gradient().delta, _like(at, v))


@law(
    "Δ = Bθ_K − c",
    "MS-FOMAML-1",
    "MS-AGREE-1",
    on=scenarios("least-squares/fomaml/steps-3"),
    applies=_on_quadratics("FOMAML"),
)
def fomaml_on_a_quadratic(at: LawContext) -> Iterator[Claim]:
    plain = Plain.of(at.scenario)
    reached = plain.reached(plain.support)
    r = at.meta_gradient()
    yield Equal("delta", r.delta, _like(at, plain.query.gradient(reached)))
    yield Equal("query_loss", r.query_loss, plain.query.value(reached))


@law(
    "Δ = Σ_{j<K} (I − RJ)^j R ∇l(φ; S ∪ Q), J = (|S| A + |Q| B) / (|S| + |Q|)",
    "MS-REPTILE-1",
    "MS-REPTILE-2",
    "MS-EDGE-4",
    "MS-AGREE-1",
    on=scenarios("least-squares/reptile/steps-3", "empty-query/reptile"),
    applies=_on_quadratics("Reptile"),
)
def reptile_on_a_quadratic(at: LawContext) -> Iterator[Claim]:
    plain = Plain.of(at.scenario)
    task = cast(at.scenario.tasks[0], np.longdouble)
    inner = plain.support if task.query is None else quadratic.joined(at.scenario.loss, task)
    reached = plain.reached(inner)
    r = at.meta_gradient()
    yield Equal("delta", r.delta, _like(at, plain.phi - reached))
    yield Equal("query_loss", r.query_loss, plain.query.value(reached))


@law(
    "((1 + γ) I + A/λ) Δ = Bθ_K − c",
    "MS-IMAML-1",
    "MS-SOLVE-3",
    "MS-SOLVE-4",
    "MS-AGREE-1",
    on=scenarios("least-squares/imaml/dense", "least-squares/imaml/dense-damped"),
    applies=lambda scenario: _on_quadratics("IMAML")(scenario) and not isinstance(_solver(scenario), ConjugateGradient),
)
def imaml_on_a_quadratic(at: LawContext) -> Iterator[Claim]:
    A, g = _system(at.scenario)
    yield Equal("delta", at.meta_gradient().delta, _like(at, dense_oracle.solve(A, g)))


@law(
    "m steps of conjugate gradients: Δ is the minimiser of x·Mx/2 − g·x in span{g, Mg, …, M^{m−1} g}, M = (1+γ)I + A/λ",
    "MS-SOLVE-1",
    "MS-SOLVE-3",
    "MS-IMAML-1",
    on=scenarios("least-squares/imaml/steps-3", "least-squares/imaml/cg-damped"),
    applies=lambda scenario: _on_quadratics("IMAML")(scenario) and _truncated(scenario),
)
def imaml_in_the_krylov_space(at: LawContext) -> Iterator[Claim]:
    M, g = _system(at.scenario)
    basis: list[Vector] = []
    for _ in range(_solver(at.scenario).steps):
        v = _times(M, basis[-1]) if basis else g
        for _ in range(2):  # once more, for orthogonality to the last digit
            v = v - sum((e * np.sum(e * v) for e in basis), np.zeros_like(v))
        basis.append(v / np.sqrt(np.sum(v * v)))
    Q = np.stack(basis)
    projected = np.sum(Q[:, None, :] * np.sum(M[None] * Q[:, None, :], axis=-1)[None], axis=-1)
    coefficients = dense_oracle.solve(projected, _times(Q, g))
    yield Equal("delta", at.meta_gradient().delta, _like(at, _times(Q.T, coefficients)))


@law(
    "A = hI: Δ = (Bθ_K − c) / (1 + γ + h/λ) by any solver, conjugate gradients after their first step",
    "MS-IMAML-1",
    "MS-SOLVE-1",
    "MS-SOLVE-4",
    on=scenarios("identity-hessian/imaml/cg-1", "identity-hessian/imaml/cg-4", "identity-hessian/imaml/dense"),
    applies=nowhere,
)
def imaml_on_a_multiple_of_the_identity(at: LawContext) -> Iterator[Claim]:
    M, g = _system(at.scenario)
    yield Equal("delta", at.meta_gradient().delta, _like(at, g / M[0, 0]))


def _solver(scenario: Scenario) -> Any:
    algo: Any = scenario.algorithm
    return algo.solver


def _truncated(scenario: Scenario) -> bool:
    """Whether the Krylov space has as many dimensions as steps are taken: fewer than there are other eigenvalues."""
    solver, size = _solver(scenario), ravel(scenario.params).size
    if scenario.loss == "least_squares":
        size = min(size, len(scenario.tasks[0].support["y"]))
    fixed = isinstance(solver, ConjugateGradient) and solver.tol is None
    return scenario.loss != "linear" and fixed and solver.steps < size


def _system(scenario: Scenario) -> tuple[Any, Vector]:
    """iMAML's matrix and right-hand side."""
    plain = Plain.of(scenario)
    g = plain.query.gradient(plain.reached(plain.support))
    unit = np.eye(len(g), dtype=np.longdouble)
    return (1 + np.longdouble(_solver(scenario).damping)) * unit + plain.support.H / plain.strength, g
