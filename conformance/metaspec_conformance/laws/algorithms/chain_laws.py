"""Laws of the inner path and of the chain of Hessian-vector products along it."""

from collections.abc import Iterator

from metaspec.algorithms import FOMAML
from metaspec.trees import add_scaled, subtract, tree_map
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios
from metaspec_conformance.scenarios.scenario import Scenario


def scaled(at: LawContext, tree: Tree) -> Tree:
    """R times the tree, for a number or a tree of rates."""
    rate = at.algorithm.inner.lr
    if isinstance(rate, float):
        return tree_map(at.B, lambda leaf: rate * leaf, tree)
    return tree_map(at.B, lambda r, leaf: r * leaf, rate, tree)


def _descends(scenario: Scenario) -> bool:
    return scenario.algorithm_name != "IMAML"


@law(
    "θ_0 = φ, θ_{k+1} = θ_k − R ∇l(θ_k; S): k + 1 steps are k steps and one by the gradient there",
    "MS-INNER-1",
    "MS-INNER-2",
    "MS-ADAPT-1",
    on=scenarios("tanh-network-1/maml/steps-3", "adapt/reptile", "per-leaf-rates/fomaml"),
    applies=_descends,
)
def one_step(at: LawContext) -> Iterator[Claim]:
    theta = at.params
    yield Equal("theta 0", at.adapt(at.inner(steps=0)), theta)
    for k in range(at.algorithm.inner.steps):
        theta = subtract(at.B, theta, scaled(at, at.gradient(at.task.support, theta)))
        yield Equal(f"theta {k + 1}", at.adapt(at.inner(steps=k + 1)), theta)


@law(
    "adapt(K_1 + K_2) = adapt(K_2) from where adapt(K_1) arrived: a step carries nothing but θ",
    "MS-INNER-1",
    "MS-ADAPT-1",
    on=scenarios("adapt/maml", "per-leaf-rates/reptile"),
    applies=_descends,
    dtypes=ONE_FORMAT,
)
def path_in_two(at: LawContext) -> Iterator[Claim]:
    steps = at.algorithm.inner.steps
    half = at.adapt(at.inner(steps=steps // 2))
    yield Equal("adapted", at.adapt(at.inner(steps=steps - steps // 2), params=half), at.adapt())


@law(
    "iMAML's path is gradient descent on l(θ; S) + λ/2 ‖θ − φ‖² from φ",
    "MS-IMAML-1",
    "MS-ADAPT-1",
    "MS-INNER-1",
    on=scenarios("adapt/imaml", "per-leaf-rates/imaml"),
    applies=algorithm("IMAML"),
)
def proximal_path(at: LawContext) -> Iterator[Claim]:
    strength = at.algorithm.regularization
    theta = at.params
    for _ in range(at.algorithm.inner.steps):
        pull = subtract(at.B, theta, at.params)
        gradient = add_scaled(at.B, at.gradient(at.task.support, theta), strength, pull)
        theta = subtract(at.B, theta, scaled(at, gradient))
    yield Equal("adapt", at.adapt(), theta)
    yield Equal("adapted", at.meta_gradient().adapted, theta)


@law(
    "Δ = (I − H_0 R)(I − H_1 R) … (I − H_{K−1} R) ∇l(θ_K; Q), H_k at the k-th point of the path",
    "MS-MAML-1",
    "MS-INNER-2",
    on=scenarios("tanh-network-1/maml/steps-3", "per-leaf-rates/maml"),
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def chain_of_products(at: LawContext) -> Iterator[Claim]:
    path = [at.adapt(at.inner(steps=k)) for k in range(at.algorithm.inner.steps + 1)]
    v = at.gradient(at.task.query, path[-1])
    for theta in reversed(path[:-1]):
        v = subtract(at.B, v, at.product(at.task.support, scaled(at, v), theta))
    yield Equal("delta", at.meta_gradient().delta, v)


@law(
    "Δ_K(φ) = (I − H(φ) R) Δ_{K−1}(θ_1) for K = 1, 2, …, and Δ_0(φ) = ∇l(φ; Q)",
    "MS-MAML-1",
    "MS-INNER-2",
    "MS-EDGE-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def first_factor(at: LawContext) -> Iterator[Claim]:
    yield Equal("delta 0", at.meta_gradient(at.inner(steps=0)).delta, at.gradient(at.task.query))
    first = at.adapt(at.inner(steps=1))
    for k in range(1, at.algorithm.inner.steps + 1):
        rest = at.meta_gradient(at.inner(steps=k - 1), params=first).delta
        product = at.product(at.task.support, scaled(at, rest))
        yield Equal(f"delta {k}", at.meta_gradient(at.inner(steps=k)).delta, subtract(at.B, rest, product))


@law(
    "Δ_MAML = Δ_FOMAML − Σ_k H(θ_k) R Δ_{K−1−k}(θ_{k+1}), one term for each Hessian that FO-MAML leaves out",
    "MS-MAML-1",
    "MS-FOMAML-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def dropped_terms(at: LawContext) -> Iterator[Claim]:
    steps = at.algorithm.inner.steps
    path = [at.adapt(at.inner(steps=k)) for k in range(steps + 1)]
    total = at.meta_gradient(FOMAML(at.algorithm.inner)).delta
    for k in range(steps):
        rest = at.meta_gradient(at.inner(steps=steps - 1 - k), params=path[k + 1]).delta
        total = subtract(at.B, total, at.product(at.task.support, scaled(at, rest), path[k]))
    yield Equal("delta", at.meta_gradient().delta, total)


@law(
    "MAML, FO-MAML and adapt reach the same θ_K; FO-MAML's Δ is ∇l(θ_K; Q)",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-ADAPT-1",
    on=scenarios("tanh-network-2/fomaml/steps-5"),
    applies=algorithm("MAML", "FOMAML"),
)
def one_path(at: LawContext) -> Iterator[Claim]:
    theta = at.adapt()
    first = at.meta_gradient(FOMAML(at.algorithm.inner))
    yield Equal("adapted", first.adapted, theta)
    yield Equal("delta", first.delta, at.gradient(at.task.query, theta))
    yield Equal("query_loss", first.query_loss, at.loss(theta, at.task.query))


@law(
    "Δ = φ − θ_K, θ_K that of adapt on S and Q joined; the query loss is l(θ_K; Q)",
    "MS-REPTILE-1",
    "MS-ADAPT-1",
    on=scenarios("tanh-network-1/reptile/steps-3"),
    applies=lambda scenario: algorithm("Reptile")(scenario) and scenario.tasks[0].query is not None,
)
def reptile_is_the_way_gone(at: LawContext) -> Iterator[Claim]:
    joined = tree_map(at.B, lambda a, b: at.B.xp.concat([a, b], axis=0), at.task.support, at.task.query)
    theta = at.adapt(support=joined)
    r = at.meta_gradient()
    yield Equal("delta", r.delta, subtract(at.B, at.params, theta))
    yield Equal("query_loss", r.query_loss, at.loss(theta, at.task.query))
