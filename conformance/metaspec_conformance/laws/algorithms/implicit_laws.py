"""Laws of iMAML's system and of what it says of itself, none of which need the system to be solved."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Task
from metaspec.trees import add, add_scaled, divide, dot, norm, scale, subtract
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.directions import direction
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios
from metaspec_conformance.scenarios.scenario import Scenario


def system(at: LawContext, theta: Tree, v: Tree) -> Tree:
    """((1 + γ) I + H(θ)/λ) v with the backend's own product."""
    product = divide(at.B, at.product(at.task.support, v, theta), at.algorithm.regularization)
    return add_scaled(at.B, add(at.B, v, product), at.algorithm.solver.damping, v)


@law(
    "g − ((1 + γ) I + H(θ_K)/λ) Δ is as long as `solve_residual` · ‖g‖, and orthogonal to g = ∇l(θ_K; Q)",
    "MS-IMAML-1",
    "MS-IMAML-2",
    "MS-SOLVE-1",
    "MS-SOLVE-3",
    on=scenarios("tanh-network-1/imaml/steps-3", "tanh-network/imaml/cg-damped"),
    applies=algorithm("IMAML"),
)
def residual_of_the_system(at: LawContext) -> Iterator[Claim]:
    r = at.meta_gradient()
    known: Any = r.diagnostics
    g = at.gradient(at.task.query, r.adapted)
    image = system(at, r.adapted, r.delta)
    yield Equal("<g, M delta>", dot(at.B, g, image), dot(at.B, g, g))
    size = norm(at.B, g)  # added on both sides: that is what a residual is rounded against
    yield Equal("solve_residual", size * (1 + known.solve_residual), size + norm(at.B, subtract(at.B, g, image)))


@law(
    "from x_0: Δ = x_0 plus what as many steps give for g − ((1 + γ) I + H(θ_K)/λ) x_0",
    "MS-IMAML-3",
    "MS-SOLVE-1",
    on=scenarios("adapt/imaml"),
    applies=nowhere,
    dtypes=("float64",),
)
def started_solve(at: LawContext) -> Iterator[Claim]:
    two, x0 = replace(at.algorithm, solver=ConjugateGradient(steps=2)), direction(at, 16)
    r = at.meta_gradient(replace(two, start=x0))
    rest = subtract(at.B, at.gradient(at.task.query, r.adapted), system(at, r.adapted, x0))
    rest_solved = at.B.linear_solve(lambda v: system(at, r.adapted, v), rest, two.solver)
    yield Equal("delta", r.delta, add(at.B, x0, rest_solved.x))
    carried = Task({"data": at.task.support, "start": x0}, {"data": at.task.query})
    of_the_task = replace(two, start=lambda task: task.support["start"])
    again = at.meta_gradient(of_the_task, lambda params, batch: at.loss(params, batch["data"]), task=carried)
    yield Equal("delta of a task that carries its start", again.delta, r.delta)


@law(
    "one step of conjugate gradients: Δ = g ⟨g, g⟩ / ⟨g, ((1 + γ) I + H(θ_K)/λ) g⟩, FO-MAML's direction",
    "MS-IMAML-1",
    "MS-SOLVE-1",
    on=scenarios("adapt/imaml"),
    applies=nowhere,
)
def first_conjugate_step(at: LawContext) -> Iterator[Claim]:
    one = ConjugateGradient(steps=1, damping=at.algorithm.solver.damping)
    r = at.meta_gradient(replace(at.algorithm, solver=one))
    g = at.gradient(at.task.query, r.adapted)
    length = dot(at.B, g, g) / dot(at.B, g, system(at, r.adapted, g))
    yield Equal("delta", r.delta, scale(at.B, length, g))


@law(
    "((1 + γ) I + H(θ_K)/λ) Δ = ∇l(θ_K; Q)",
    "MS-IMAML-1",
    "MS-SOLVE-3",
    "MS-SOLVE-4",
    on=scenarios("least-squares/imaml/dense-damped"),
    applies=lambda scenario: algorithm("IMAML")(scenario) and isinstance(_solver(scenario), DenseSolve),
)
def solved_system(at: LawContext) -> Iterator[Claim]:
    r = at.meta_gradient()
    yield Equal("M delta", system(at, r.adapted, r.delta), at.gradient(at.task.query, r.adapted))


def _solver(scenario: Scenario) -> Any:
    algo: Any = scenario.algorithm
    return algo.solver


@law(
    "`stationarity` = ‖∇l(θ_K; S) + λ (θ_K − φ)‖",
    "MS-IMAML-2",
    on=scenarios("tanh-network-1/imaml/steps-3"),
    applies=algorithm("IMAML"),
)
def stationarity(at: LawContext) -> Iterator[Claim]:
    r = at.meta_gradient()
    moved = subtract(at.B, r.adapted, at.params)
    gradient = add_scaled(at.B, at.gradient(at.task.support, r.adapted), at.algorithm.regularization, moved)
    yield Equal("stationarity", r.diagnostics.stationarity, norm(at.B, gradient))


@law(
    "at θ_K = φ, (1 + γ) Δ(γ, λ) = Δ(0, (1 + γ) λ): so are all iterates of conjugate gradients",
    "MS-SOLVE-1",
    "MS-SOLVE-3",
    "MS-IMAML-1",
    "MS-EDGE-1",
    on=scenarios("tanh-network/imaml/cg-damped"),
    applies=lambda scenario: algorithm("IMAML")(scenario) and getattr(_solver(scenario), "tol", None) is None,
)
def damping_is_a_stronger_pull(at: LawContext) -> Iterator[Claim]:
    damping = 1.0  # 2 λ is exact in every format
    start = at.inner(steps=0)
    damped = replace(start, solver=replace(start.solver, damping=damping))
    stronger = replace(
        start, solver=replace(start.solver, damping=0.0), regularization=(1 + damping) * start.regularization
    )
    yield Equal("delta", scale(at.B, 1 + damping, at.meta_gradient(damped).delta), at.meta_gradient(stronger).delta)
