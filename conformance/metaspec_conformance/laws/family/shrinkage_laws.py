"""Laws of proximal strengths that differ by leaf or are learned (Chen et al. 2020), against dense linear algebra."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import metaspec as ms
from metaspec.backend.patterns import Partition
from metaspec.trees import ravel
from metaspec_conformance.laws.family.written_out import backpropagated, each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT, hyphenated, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios

ON = scenarios("tanh-network-1/imaml/steps-3")
shrinkage = partial(law, naming=hyphenated("shrinkage/"))
LEAFWISE = ms.Learned(0.8, per="leaf")


def _entries(at: LawContext, values: Tree) -> Array:
    """Return a vector of one number for each entry of the parameters, from one for each leaf."""
    return ravel(at.B, each(at, lambda s, x: s + 0 * x, values, at.params))[0]


def _dense(at: LawContext, theta: Tree, strengths: Array) -> Array:
    """Return w = (H + D)^{-1} grad l_query(theta), H written out column by column."""
    B, xp = at.B, at.B.xp
    vector, unravel = ravel(B, theta)
    count = vector.shape[0]
    identity = xp.eye(count, dtype=vector.dtype)
    columns = [ravel(B, at.product(at.task.support, unravel(identity[i, ...]), theta))[0] for i in range(count)]
    H = xp.stack(columns, axis=1)
    g = ravel(B, at.gradient(at.task.query, theta))[0]
    return xp.linalg.solve(H + strengths[:, None] * identity, g[:, None])[:, 0]


def _leafwise(at: LawContext, vector: Array) -> list[Array]:
    """Return the sum over each leaf of a vector of entries."""
    tree = ravel(at.B, at.params)[1](vector)
    return [at.B.xp.sum(leaf) for leaf in at.B.tree_flatten(tree)[0]]


@shrinkage(
    "w = (H + D)⁻¹ ∇l(Q), D = diag(σ⁻²): Δφ = D w, ∂/∂σ = 2 σ⁻³ ⟨θ − φ, w⟩ over the leaf",
    "MS-SIGMA-2",
    on=ON,
    applies=nowhere,
    dtypes=("float64",),
)
def sigma_imaml(at: LawContext) -> Iterator[Claim]:
    algo = ms.SigmaIMAML(ms.GradientDescent(0.1, 5), LEAFWISE, ms.DenseSolve())
    meta = algo.init(at.params, backend=at.B)
    r = at.meta_gradient(algo, params=meta)
    strengths = 1 / _entries(at, meta.learned["sigma"]) ** 2
    w = _dense(at, r.adapted, strengths)
    moved = ravel(at.B, r.adapted)[0] - ravel(at.B, at.params)[0]
    yield Equal("phi", ravel(at.B, r.delta.params)[0], strengths * w)
    sums = _leafwise(at, 2 * strengths**1.5 * moved * w)
    yield Equal("sigma", at.B.tree_flatten(r.delta.learned["sigma"])[0], sums)


@shrinkage("Δφ = D (φ − θ), σ's as σ-iMAML's", "MS-SIGMA-3", on=ON, applies=nowhere, dtypes=("float64",))
def sigma_reptile(at: LawContext) -> Iterator[Claim]:
    inner = ms.GradientDescent(0.1, 5)
    algo, implicit = ms.SigmaReptile(inner, LEAFWISE, ms.DenseSolve()), ms.SigmaIMAML(inner, LEAFWISE, ms.DenseSolve())
    meta = algo.init(at.params, backend=at.B)
    r, other = at.meta_gradient(algo, params=meta), at.meta_gradient(implicit, params=meta)
    strengths = each(at, lambda s: 1 / s**2, meta.learned["sigma"])
    yield Equal("phi", r.delta.params, each(at, lambda c, x0, x: c * (x0 - x), strengths, at.params, r.adapted))
    yield Equal("sigma", r.delta.learned, other.delta.learned)


@shrinkage(
    "θ ← θ − α (∇l(θ; S) + (θ − φ)/σ²), differentiated through all steps, in φ and in each module's σ",
    "MS-SIGMA-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def sigma_maml(at: LawContext) -> Iterator[Claim]:
    modules = {"body": "layers/0/*", "head": "!layers/0/*"}
    algo = ms.SigmaMAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), ms.Learned(0.8, per=modules))

    def objective(phi: Tree, learned: dict[str, Any]) -> Array:
        parts = Partition.of(at.B, phi, modules["body"], "modules")
        moving, staying = parts.split(phi)
        width = parts.join([learned["sigma"]["body"]] * len(moving), [learned["sigma"]["head"]] * len(staying))

        def move(theta: Tree, _: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
            return each(at, lambda x, g, s, x0: x - 0.1 * (g + (x - x0) / s**2), theta, g, width, phi), None

        return at.loss(loop(at, move, phi)[-1], at.task.query)

    yield from backpropagated(at, algo, objective)


@shrinkage(
    "equal strengths, as a tree or as σ = λ^(−1/2), are iMAML's λ",
    "MS-IMAML-4",
    on=ON,
    applies=algorithm("IMAML"),
    dtypes=ONE_FORMAT,
)
def one_strength(at: LawContext) -> Iterator[Claim]:
    imaml = replace(at.algorithm, regularization=4.0)
    r = at.meta_gradient(imaml)
    for what, strength in (
        ("tree", each(at, lambda x: 0 * x + imaml.regularization, at.params)),
        ("sigma", ms.Sigma(0.5)),
    ):
        other = at.meta_gradient(ms.IMAML(imaml.inner, strength, imaml.solver))
        yield Equal(f"{what}: adapted", other.adapted, r.adapted)
        yield Equal(f"{what}: delta", other.delta, r.delta)
    learned = ms.IMAML(imaml.inner, ms.Learned(imaml.regularization), imaml.solver)
    meta = learned.init(at.params, backend=at.B)
    yield Equal("learned: delta", at.meta_gradient(learned, params=meta).delta.params, r.delta)
