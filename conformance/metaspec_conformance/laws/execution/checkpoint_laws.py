"""Laws of what is kept and what is computed again: neither changes a result."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.algorithms.adjoint import CHECKPOINTS
from metaspec.task import Task
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios


@law(
    "D(none) = D(recompute) = D(sqrt) over twelve steps; compiled, where such a path is a loop, too",
    "MS-MAML-2",
    "MS-BACKEND-6",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=("float64",),
)
def checkpoints(at: LawContext) -> Iterator[Claim]:
    modes: dict[str, Any] = {name: replace(at.inner(steps=12), checkpoint=name) for name in CHECKPOINTS}
    kept = at.meta_gradient(modes["none"])
    for name in ("recompute", "sqrt"):
        r = at.meta_gradient(modes[name])
        yield Equal(f"{name}: delta", r.delta, kept.delta)
        yield Equal(f"{name}: adapted", r.adapted, kept.adapted)
    for name in ("none", "sqrt"):
        compiled = ms.compile(lambda p, t, algo=modes[name]: at.meta_gradient(algo, params=p, task=t), backend=at.B)
        yield Equal(f"{name}, compiled: delta", compiled(at.params, at.task).delta, kept.delta)


SEEDS = ((3, 8), (4, 5))  # of support and query, of two tasks


@law(
    "D(none) = D(recompute) = D(sqrt), batched = in turn, compiled = eager, where the loss draws from the batch's seed",
    "MS-PURE-5",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=("float64",),
)
def seed_in_the_batch(at: LawContext) -> Iterator[Claim]:
    """The truth has the numbers that follow from the seeds in the batch."""
    xp = at.B.xp

    def drawing(params: Tree, batch: Tree) -> Array:
        given = {name: leaf for name, leaf in batch.items() if name != "seed"}
        drawn = xp.astype(xp.remainder(batch["seed"] * 5, 7), at.B.tree_flatten(params)[0][0].dtype)
        return at.loss(params, given) * (1 + drawn / 8)

    def told(params: Tree, batch: Tree) -> Array:
        given = {name: leaf for name, leaf in batch.items() if name != "factor"}
        return at.loss(params, given) * batch["factor"]

    def with_each(name: str, value: Any) -> list[Task]:
        return [
            Task(*({**part, name: at.array(value(seed))} for part, seed in zip(at.task, pair, strict=True)))
            for pair in SEEDS
        ]

    seeded = with_each("seed", lambda seed: np.asarray(seed, "int32"))
    known = with_each("factor", lambda seed: np.asarray(1 + (5 * seed % 7) / 8))
    expected = [at.meta_gradient(loss=told, task=task) for task in known]
    for name in CHECKPOINTS:
        algo: Any = replace(at.algorithm, checkpoint=name)
        yield Equal(name, at.meta_gradient(algo, drawing, task=seeded[0]).delta, expected[0].delta)
    mean = at.batch_meta_gradient(loss=told, tasks=known).delta
    for chunk in (1, 2):
        r = at.batch_meta_gradient(loss=drawing, tasks=seeded, chunk_size=chunk)
        yield Equal(f"chunks of {chunk}", r.delta, mean)
    compiled = ms.compile(lambda params, task: at.meta_gradient(None, drawing, params, task).delta, backend=at.B)
    for task, r in zip(seeded, expected, strict=True):
        yield Equal("compiled", compiled(at.params, task), r.delta)
