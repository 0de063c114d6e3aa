"""Laws of a meta-gradient inside of another derivative: a learned rate, a meta-meta-gradient."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from metaspec.algorithms import MAML
from metaspec.trees import add_scaled, dot, zeros_like
from metaspec_conformance.judging.numpy_trees import cast, leaves, ravel, unravel
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.coupled_scenario import small
from metaspec_conformance.laws.framework.directions import direction
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios
from metaspec_conformance.oracles import quadratic
from metaspec_conformance.scenarios.datasets import parameters
from metaspec_conformance.scenarios.scenario import Scenario

ROOM = 14  # unknowns up to which the matrices are written out


def _small_quadratic(scenario: Scenario) -> bool:
    size = sum(leaf.size for leaf in leaves(scenario.params))
    rate = getattr(scenario.algorithm.inner, "lr", None)
    known = scenario.algorithm_name in ("MAML", "FOMAML", "Reptile")
    return scenario.oracle == "quadratic" and known and isinstance(rate, float) and size <= ROOM


def _one_rate(scenario: Scenario) -> bool:
    return algorithm("MAML")(scenario) and isinstance(getattr(scenario.algorithm.inner, "lr", None), float)


@law(
    "∇_φ ⟨Δ, v⟩ on quadratics, M = (I − αA)^K: MAML M B M v, FO-MAML M B v, Reptile (I − M) v",
    "MS-BACKEND-1",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-REPTILE-1",
    "MS-BACKEND-8",
    on=scenarios("least-squares/maml/steps-1", "least-squares/fomaml/steps-1", "least-squares/reptile/steps-1"),
    applies=_small_quadratic,
    dtypes=ONE_FORMAT,
)
def gradient_of_a_delta(at: LawContext) -> Iterator[Claim]:
    v = direction(at, 4)
    gradient = at.B.grad(lambda phi: dot(at.B, at.meta_gradient(params=phi).delta, v))(at.params)
    yield Equal("gradient", gradient, unravel(_gradient_of_a_delta(at.scenario), at.scenario.params))


def _gradient_of_a_delta(scenario: Scenario) -> Any:
    algo: Any = scenario.algorithm
    task, v = cast((scenario.tasks[0], ravel(parameters(4, scenario.params))), np.longdouble)
    forms = [quadratic.form(str(scenario.loss), batch).H for batch in task]
    if scenario.algorithm_name == "Reptile":
        m, n = (np.longdouble(len(leaves(batch)[0])) for batch in task)
        forms = [(m * forms[0] + n * forms[1]) / (m + n), forms[1]]

    def along_the_path(w: Any) -> Any:
        for _ in range(algo.inner.steps):
            w = w - algo.inner.lr * np.sum(forms[0] * w, axis=1)
        return w

    if scenario.algorithm_name == "Reptile":
        return v - along_the_path(v)
    return along_the_path(np.sum(forms[1] * (along_the_path(v) if scenario.algorithm_name == "MAML" else v), axis=1))


@law(
    "⟨u, ∂Δ/∂φ w⟩ = ⟨w, ∂Δ/∂φ u⟩ for MAML, whose Δ is a gradient in φ: third derivatives included",
    "MS-MAML-1",
    "MS-BACKEND-1",
    "MS-BACKEND-8",
    on=small,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def delta_is_a_gradient(at: LawContext) -> Iterator[Claim]:
    B, (u, w) = at.B, (direction(at, seed) for seed in (5, 6))

    def pulled(v: Tree) -> Tree:
        return B.grad(lambda phi: dot(B, at.meta_gradient(params=phi).delta, v))(at.params)

    backwards = pulled(u)
    yield Equal("symmetric", dot(B, backwards, w), dot(B, pulled(w), u))
    _, pushed = B.jvp(lambda phi: at.meta_gradient(params=phi).delta, (at.params,), (w,))
    yield Equal("forwards", dot(B, pushed, u), dot(B, backwards, w))


@law(
    "d l(θ_K; Q)/dα = ⟨∇l(θ_K; Q), t_K⟩, t_0 = 0, t_{k+1} = t_k − ∇l(θ_k; S) − α H(θ_k) t_k",
    "MS-INNER-2",
    "MS-BACKEND-1",
    "MS-BACKEND-8",
    on=small,
    applies=_one_rate,
    dtypes=ONE_FORMAT,
)
def gradient_of_the_rate(at: LawContext) -> Iterator[Claim]:
    B, inner = at.B, at.algorithm.inner

    def judged(rate: Array) -> Array:
        return at.meta_gradient(at.inner(MAML(inner), lr=rate)).query_loss

    tangent = zeros_like(B, at.params)
    for k in range(inner.steps):
        theta = at.adapt(at.inner(steps=k))
        gradient, product = at.gradient(at.task.support, theta), at.product(at.task.support, tangent, theta)
        tangent = add_scaled(B, add_scaled(B, tangent, -1.0, gradient), -inner.lr, product)
    wanted = dot(B, at.gradient(at.task.query, at.adapt()), tangent)
    rate = at.array(np.array(inner.lr))
    yield Equal("d/d rate", B.grad(judged)(rate), wanted)
    rates = B.tree_unflatten(B.tree_flatten(at.params)[1], [rate for _ in B.tree_flatten(at.params)[0]])
    apart = B.grad(judged)(rates)
    yield Equal("a rate for each leaf: their sum", sum(B.tree_flatten(apart)[0]), wanted)


@law(
    "the gradient through φ' = φ − β Δ(φ) is (I − β ∂Δ/∂φ)ᵀ applied to the one at φ'",
    "MS-MAML-1",
    "MS-BACKEND-1",
    "MS-BACKEND-8",
    on=small,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def two_outer_steps(at: LawContext) -> Iterator[Claim]:
    B, beta = at.B, 0.03125

    def stepped(phi: Tree) -> Tree:
        return add_scaled(B, phi, -beta, at.meta_gradient(params=phi).delta)

    there = at.gradient(at.task.query, stepped(at.params))
    through = B.grad(lambda phi: at.loss(stepped(phi), at.task.query))(at.params)
    share = B.grad(lambda phi: dot(B, at.meta_gradient(params=phi).delta, there))(at.params)
    yield Equal("gradient", through, add_scaled(B, there, -beta, share))
