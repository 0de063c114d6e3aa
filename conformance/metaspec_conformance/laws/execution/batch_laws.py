"""Laws of the meta-batch."""

from collections.abc import Iterator
from functools import reduce

import numpy as np

from metaspec.algorithms import IMAML
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import MetaGradient
from metaspec.trees import add_scaled, tree_map
from metaspec_conformance.judging.numpy_trees import leaves_with_paths
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import ONE_FORMAT, PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import scenarios, several_tasks
from metaspec_conformance.scenarios.scenario import Scenario

STACKABLE = scenarios("stacked/maml", "sequence/fomaml", "stacked/reptile", "sequence/imaml")


@law(
    "D(t_1, t_1, t_2, t_2) = D(t_1, t_2): a mean, not a sum",
    "MS-BATCH-1",
    on=scenarios("ragged/{}"),
    applies=several_tasks,
    dtypes=ONE_FORMAT,
)
def duplicated_tasks(at: LawContext) -> Iterator[Claim]:
    two = at.tasks[:2]
    once, twice = at.batch_meta_gradient(tasks=two), at.batch_meta_gradient(tasks=[*two, *two])
    yield Equal("delta", twice.delta, once.delta)
    yield Equal("query_loss", twice.query_loss, once.query_loss)


@law(
    "D(t_p(1), ..., t_p(n)) = D(t_1, ..., t_n): nothing is carried from task to task",
    "MS-BATCH-3",
    "MS-INNER-1",
    on=scenarios("ragged/{}"),
    applies=several_tasks,
    dtypes=ONE_FORMAT,
)
def permuted_tasks(at: LawContext) -> Iterator[Claim]:
    forwards, backwards = at.batch_meta_gradient(), at.batch_meta_gradient(tasks=at.tasks[::-1])
    yield Equal("delta", backwards.delta, forwards.delta)
    for i in range(len(at.tasks)):
        there, here = (at.B.tree_flatten(r.adapted)[0] for r in (backwards, forwards))
        yield Equal(f"adapted {i}", [leaf[-1 - i, ...] for leaf in there], [leaf[i, ...] for leaf in here])


def _of_one_size(scenario: Scenario) -> bool:
    sizes = [[(path, leaf.shape) for path, leaf in leaves_with_paths(task)] for task in scenario.tasks]
    return several_tasks(scenario) and all(size == sizes[0] for size in sizes)


def _mean(at: LawContext, trees: list[Tree]) -> Tree:
    total = reduce(lambda x, y: add_scaled(at.B, x, 1.0, y), trees)
    return tree_map(at.B, lambda leaf: leaf / len(trees), total)


def _row(at: LawContext, tree: Tree, i: int) -> list[Array]:
    return [leaf[i, ...] for leaf in at.B.tree_flatten(tree)[0]]


def _as_one_by_one(at: LawContext, batch: MetaGradient, single: list[MetaGradient], name: str) -> Iterator[Claim]:
    yield Equal(f"{name}: delta", batch.delta, _mean(at, [r.delta for r in single]))
    yield Equal(f"{name}: query_loss", batch.query_loss, _mean(at, [r.query_loss for r in single]))
    for i, r in enumerate(single):
        yield Equal(f"{name}: adapted {i}", _row(at, batch.adapted, i), at.B.tree_flatten(r.adapted)[0])
        yield Equal(f"{name}: loss {i}", batch.diagnostics.query_loss[i], r.query_loss)


@law(
    "Δ(stacked) = Δ(sequence) = (1/n) Σ_i Δ_i, adapted and diagnostics task by task",
    "MS-BATCH-1",
    on=STACKABLE,
    applies=_of_one_size,
    dtypes=ONE_FORMAT,
)
def stacked_tasks(at: LawContext) -> Iterator[Claim]:
    single = [at.meta_gradient(task=task) for task in at.tasks]
    yield from _as_one_by_one(at, at.batch_meta_gradient(tasks=at.stacked), single, "stacked")
    yield from _as_one_by_one(at, at.batch_meta_gradient(tasks=at.tasks), single, "sequence")


@law(
    "Δ = (1/n) Σ_i Δ_i, each task weighing the same however many examples it has",
    "MS-BATCH-1",
    "MS-BATCH-2",
    on=scenarios("ragged/{}"),
    applies=several_tasks,
    dtypes=ONE_FORMAT,
)
def tasks_of_different_sizes(at: LawContext) -> Iterator[Claim]:
    single = [at.meta_gradient(task=task) for task in at.tasks]
    yield from _as_one_by_one(at, at.batch_meta_gradient(), single, "batch")


@law("Δ of a batch of one task is that task's", "MS-BATCH-1", on=small, dtypes=ONE_FORMAT)
def one_task(at: LawContext) -> Iterator[Claim]:
    alone = at.tasks[:1]
    yield from _as_one_by_one(at, at.batch_meta_gradient(tasks=alone), [at.meta_gradient()], "sequence")
    stacked = at.B.tree_stack(alone)
    yield from _as_one_by_one(at, at.batch_meta_gradient(tasks=stacked), [at.meta_gradient()], "stacked")


@law(
    "vmap(vmap(f))(x, y)_ij = f(x_i, y_j), f a value and a gradient; products in rows",
    "MS-BACKEND-6",
    on=small,
    applies=alone,
    subject=PROTOCOL,
    dtypes=ONE_FORMAT,
)
def nested_vmap(at: LawContext) -> Iterator[Claim]:
    B = at.B
    xs, ys = at.array((np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), np.array([[1.0, 0.0, -2.0], [0.5, 0.5, 1.0]])))

    def f(x: Array, y: Array) -> Tree:
        value, gradient = B.value_and_grad(at.loss)(at.params, {"x": x, "y": y})
        return {"value": value, "gradient": gradient, "x": x}

    pairs = B.vmap(lambda pair: B.vmap(lambda y: f(pair["x"], y))(pair["ys"]))({"x": xs, "ys": B.xp.stack([ys, ys])})
    for i, j in ((0, 1), (1, 0)):
        found = [leaf[i, j, ...] for leaf in B.tree_flatten(pairs)[0]]
        yield Equal(f"row {i}, column {j}", found, B.tree_flatten(f(xs[i], ys[j]))[0])
    products = B.vmap(lambda v: at.product(at.task.support, {"a": v, "b": v}))(xs)
    yield Equal(
        "products", _row(at, products, 1), B.tree_flatten(at.product(at.task.support, {"a": xs[1], "b": xs[1]}))[0]
    )


@law(
    "iMAML with dense solves: D(t_1, t_2, t_3) = Σ_i D(t_i) / 3, each with its own matrix",
    "MS-BATCH-1",
    "MS-SOLVE-4",
    on=small,
    applies=alone,
)
def batched_dense_solves(at: LawContext) -> Iterator[Claim]:
    algo = IMAML(at.algorithm.inner, regularization=16.0, solver=DenseSolve(damping=0.25))
    tasks = [tree_map(at.B, lambda leaf, i=i: leaf * (1 - i / 4), at.task) for i in range(3)]
    wanted = _mean(at, [at.meta_gradient(algo, task=task).delta for task in tasks])
    for name, batch in (("stacked", at.B.tree_stack(tasks)), ("a sequence", tasks)):
        yield Equal(f"{name}: delta", at.batch_meta_gradient(algo, tasks=batch).delta, wanted)
