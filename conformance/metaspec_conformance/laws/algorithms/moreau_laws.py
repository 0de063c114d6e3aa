"""Laws of the Moreau envelope, M(φ) = min_θ l(θ; S) + λ/2 ‖θ − φ‖²: what Reptile and iMAML are at the optimum θ*."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from metaspec.algorithms import IMAML, Reptile
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Task
from metaspec.trees import add, divide, dot, scale, subtract
from metaspec_conformance.laws.algorithms.limit_laws import pulled
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import nowhere, scenarios


def strength(at: LawContext) -> float:
    """A power of two, at least 16 times the curvature, so that each step gains a digit or more."""
    return float(2.0 ** np.ceil(np.log2(16 * at.algorithm.regularization)))


def solved(at: LawContext) -> IMAML:
    """IMAML whose path ends at the optimum, as far as any format can tell."""
    return IMAML(GradientDescent(1 / strength(at), 16), strength(at), ConjugateGradient(steps=8))


@law(
    "(I + H(θ*)/λ) ∂θ*/∂φ v = v: how the proximal optimum follows φ, forwards through the whole path, v = φ",
    "MS-IMAML-1",
    "MS-ADAPT-1",
    "MS-BACKEND-1",
    on=scenarios("tanh-network-1/imaml/steps-1"),
    applies=nowhere,
    dtypes=("float64",),
)
def the_optimum_moves(at: LawContext) -> Iterator[Claim]:
    theta, moved = at.B.jvp(lambda phi: at.adapt(solved(at), params=phi), (at.params,), (at.params,))
    curved = divide(at.B, at.product(at.task.support, moved, theta), strength(at))
    yield Equal("v", add(at.B, moved, curved), at.params)


@law(
    "λ(φ − θ*) = ∇M(φ): Reptile on the proximal objective is a gradient, found backwards through the whole path",
    "MS-REPTILE-2",
    "MS-ADAPT-1",
    "MS-IMAML-1",
    on=scenarios("tanh-network-1/imaml/steps-1"),
    applies=nowhere,
    dtypes=("float64",),
)
def reptile_on_the_envelope(at: LawContext) -> Iterator[Claim]:
    imaml = solved(at)

    def envelope(phi: Tree) -> Array:
        theta = at.adapt(imaml, params=phi)
        moved = subtract(at.B, theta, phi)
        return at.loss(theta, at.task.support) + 0.5 * strength(at) * dot(at.B, moved, moved)

    def proximal(theta: Tree, batch: Tree) -> Array:
        return pulled(at, at.loss, {"task": theta, "centre": batch["centre"]}, batch)

    support = {"data": at.task.support, "centre": at.params, "strength": at.array(np.asarray(strength(at)))}
    reptile = at.meta_gradient(Reptile(imaml.inner), proximal, task=Task(support, None))
    yield Equal("gradient", scale(at.B, strength(at), reptile.delta), at.B.grad(envelope)(at.params))


@law(
    "with S for Q, (I + H(θ*)/λ) Δ = λ(φ − θ*) = ∇M(φ): iMAML's Δ vanishes where the envelope is stationary",
    "MS-IMAML-1",
    "MS-IMAML-2",
    on=scenarios("tanh-network-1/imaml/steps-1"),
    applies=nowhere,
)
def imaml_on_the_envelope(at: LawContext) -> Iterator[Claim]:
    r = at.meta_gradient(solved(at), task=Task(at.task.support, at.task.support))
    curved = divide(at.B, at.product(at.task.support, r.delta, r.adapted), strength(at))
    way = scale(at.B, strength(at), subtract(at.B, at.params, r.adapted))
    yield Equal("gradient", add(at.B, r.delta, curved), way)
    known: Any = r.diagnostics
    yield Equal("stationarity", 1 + known.stationarity, at.array(np.asarray(1.0)))
