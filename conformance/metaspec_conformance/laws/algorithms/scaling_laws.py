"""Laws of a problem put in other words: another unit, another order, other coordinates. The answer follows suit."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec.task import Task
from metaspec.trees import add_scaled, dot, scale, tree_map
from metaspec_conformance.judging.numpy_trees import tree_map as plain_map
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios
from metaspec_conformance.scenarios.certified import named
from metaspec_conformance.scenarios.scenario import Scenario


def _has_examples(scenario: Scenario) -> bool:
    """Whether the loss is a mean over axis 0 of the batch."""
    return scenario.loss != "quadratic"


def _iterates_alike(scenario: Scenario) -> bool:
    """Whether the solve, if there is one, takes a number of steps that is given."""
    algo: Any = scenario.algorithm
    return getattr(getattr(algo, "solver", None), "tol", None) is None


def _is_linear_in_the_query(scenario: Scenario) -> bool:
    algo: Any = scenario.algorithm
    judged = scenario.algorithm_name != "Reptile"
    return judged and not hasattr(getattr(algo, "solver", None), "tol")


@law(
    "Δ of the query loss 2 l(·; Q) − 3 l(·; S) is 2 Δ(S, Q) − 3 Δ(S, S)",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-IMAML-1",
    on=scenarios("tanh-network-1/maml/steps-3", "least-squares/imaml/dense"),
    applies=_is_linear_in_the_query,
    dtypes=ONE_FORMAT,
)
def query_loss_is_linear(at: LawContext) -> Iterator[Claim]:
    def loss(params: Tree, batch: Tree) -> Array:
        if "second" not in batch:
            return at.loss(params, batch["first"])
        return 2.0 * at.loss(params, batch["first"]) - 3.0 * at.loss(params, batch["second"])

    support, query = at.task
    both = at.meta_gradient(loss=loss, task=Task({"first": support}, {"first": query, "second": support}))
    first, second = at.meta_gradient(), at.meta_gradient(task=Task(support, support))
    yield Equal("delta", both.delta, add_scaled(at.B, scale(at.B, 2.0, first.delta), -3.0, second.delta))


@law(
    "with 4 l, α/4 and 4 λ in place of l, α and λ the path is the same, Δ four times as long, Reptile's the same",
    "MS-INNER-1",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-REPTILE-1",
    "MS-IMAML-1",
    on=scenarios("tanh-network-1/{}/steps-3"),
    applies=lambda scenario: isinstance(_rate(scenario), float) and _iterates_alike(scenario),
    dtypes=ONE_FORMAT,
)
def unit_of_the_loss(at: LawContext) -> Iterator[Claim]:
    other = at.inner(lr=at.algorithm.inner.lr / 4)
    if hasattr(other, "regularization"):
        other = replace(other, regularization=4 * other.regularization)
    r = at.meta_gradient()
    again = at.meta_gradient(other, loss=lambda params, batch: 4.0 * at.loss(params, batch))
    yield Equal("adapted", again.adapted, r.adapted)
    yield Equal("delta", again.delta, r.delta if at.scenario.algorithm_name == "Reptile" else scale(at.B, 4.0, r.delta))


def _rate(scenario: Scenario) -> Any:
    algo: Any = scenario.algorithm
    return algo.inner.lr


@law(
    "l + 3 in place of l: Δ and θ_K are the same, the query loss 3 more",
    "MS-MAML-1",
    "MS-REPTILE-1",
    "MS-IMAML-1",
    on=scenarios("tanh-network-1/maml/steps-3", "tanh-network-1/imaml/steps-3"),
    applies=_iterates_alike,
    dtypes=ONE_FORMAT,
)
def zero_of_the_loss(at: LawContext) -> Iterator[Claim]:
    r, again = at.meta_gradient(), at.meta_gradient(loss=lambda params, batch: at.loss(params, batch) + 3.0)
    yield Equal("delta", again.delta, r.delta)
    yield Equal("query_loss", again.query_loss, r.query_loss + 3.0)


def _small_sets(*algorithms: str) -> Iterable[Scenario]:
    """Least squares whose sets, doubled, have sizes that other scenarios have too."""
    for name in algorithms:
        scenario = named(f"ragged/{name}")
        support, query = scenario.tasks[2]
        task = Task(support, plain_map(lambda leaf: leaf[:6], query))
        yield replace(scenario, id=f"ragged/{name}/third", tasks=(task,), form="task")


@law(
    "Δ(S ∪ S, Q ∪ Q) = Δ(S, Q): the loss is a mean, and nothing is counted",
    "MS-MAML-1",
    "MS-REPTILE-1",
    "MS-IMAML-1",
    on=lambda: _small_sets("maml", "imaml"),
    applies=lambda scenario: _has_examples(scenario) and _iterates_alike(scenario),
    dtypes=ONE_FORMAT,
)
def duplicated_examples(at: LawContext) -> Iterator[Claim]:
    twice = at.array(plain_map(lambda leaf: np.concatenate([leaf, leaf]), at.scenario.tasks[0]))
    r, again = at.meta_gradient(), at.meta_gradient(task=twice)
    yield Equal("delta", again.delta, r.delta)
    yield Equal("query_loss", again.query_loss, r.query_loss)


@law(
    "Δ does not depend on the order of the examples within S and within Q",
    "MS-INNER-1",
    "MS-REPTILE-1",
    on=scenarios("least-squares/{}/steps-3"),
    applies=lambda scenario: _has_examples(scenario) and _iterates_alike(scenario),
    dtypes=ONE_FORMAT,
)
def permuted_examples(at: LawContext) -> Iterator[Claim]:
    backwards = at.array(plain_map(lambda leaf: leaf[::-1].copy(), at.scenario.tasks[0]))
    r, again = at.meta_gradient(), at.meta_gradient(task=backwards)
    yield Equal("delta", again.delta, r.delta)
    yield Equal("adapted", again.adapted, r.adapted)


@law(
    "l ∘ O and Oφ in place of l and φ, O = I − 2uuᵀ/u·u over all leaves: Δ becomes OΔ",
    "MS-INNER-1",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-REPTILE-1",
    "MS-IMAML-1",
    on=scenarios("tanh-network-1/{}/steps-3"),
    applies=lambda scenario: isinstance(_rate(scenario), float) and _iterates_alike(scenario),
    dtypes=("float64",),
)
def rotated_coordinates(at: LawContext) -> Iterator[Claim]:
    u = tree_map(at.B, lambda leaf: at.B.xp.ones_like(leaf) - leaf / 2, at.params)
    uu = dot(at.B, u, u)

    def reflected(v: Tree) -> Tree:
        return add_scaled(at.B, v, -2.0 * dot(at.B, u, v) / uu, u)

    r = at.meta_gradient()
    again = at.meta_gradient(loss=lambda p, batch: at.loss(reflected(p), batch), params=reflected(at.params))
    yield Equal("delta", again.delta, reflected(r.delta))
    yield Equal("adapted", again.adapted, reflected(r.adapted))


@law(
    "l ∘ D, D⁻¹φ and D⁻²R in place of l, φ and R, D diagonal: the path becomes D⁻¹θ_k, Δ becomes DΔ, Reptile's D⁻¹Δ",
    "MS-INNER-2",
    "MS-MAML-1",
    "MS-REPTILE-1",
    on=scenarios("per-leaf-rates/maml", "per-leaf-rates/reptile"),
    applies=lambda scenario: (
        algorithm("MAML", "FOMAML", "Reptile")(scenario) and not isinstance(_rate(scenario), float)
    ),
    dtypes=ONE_FORMAT,
)
def stretched_coordinates(at: LawContext) -> Iterator[Claim]:
    leaves, structure = at.B.tree_flatten(at.params)
    factors = [2.0 ** (i % 4 - 1) for i in range(len(leaves))]  # exact in every format

    def stretched(v: Tree, power: int) -> Tree:
        pairs = zip(factors, at.B.tree_flatten(v)[0], strict=True)
        return at.B.tree_unflatten(structure, [factor**power * leaf for factor, leaf in pairs])

    r = at.meta_gradient()
    again = at.meta_gradient(
        at.inner(lr=stretched(at.algorithm.inner.lr, -2)),
        loss=lambda params, batch: at.loss(stretched(params, 1), batch),
        params=stretched(at.params, -1),
    )
    yield Equal("adapted", again.adapted, stretched(r.adapted, -1))
    yield Equal("delta", again.delta, stretched(r.delta, -1 if at.scenario.algorithm_name == "Reptile" else 1))
