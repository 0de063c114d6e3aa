"""Laws of how many tasks are computed at once: it changes no result."""

from collections.abc import Iterator
from functools import partial, reduce

import metaspec as ms
from metaspec.errors import InvalidArgumentError
from metaspec.task import MetaGradient, Task, Tree
from metaspec.trees import add, divide, scale
from metaspec_conformance.laws.framework.claims import Claim, Equal, raises
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext


@law(
    "D(t_1, ..., t_5) = Σ_i D(t_i) / 5 in chunks of two and a rest, compiled too, and one by one",
    "MS-BATCH-4",
    "MS-BATCH-1",
    on=small,
    applies=alone,
    dtypes=("float64",),
)
def chunks_of_tasks(at: LawContext) -> Iterator[Claim]:
    tasks = [scale(at.B, 1 - i / 8, at.task) for i in range(5)]
    rows = [at.meta_gradient(task=task) for task in tasks]
    delta = divide(at.B, reduce(lambda x, y: add(at.B, x, y), [r.delta for r in rows]), 5)
    query_loss = sum(r.query_loss for r in rows) / 5
    adapted = at.B.tree_stack([r.adapted for r in rows])
    for size in (1, 2):
        r = at.batch_meta_gradient(tasks=tasks, chunk_size=size)
        yield Equal(f"{size} at once: delta", r.delta, delta)
        yield Equal(f"{size} at once: query_loss", r.query_loss, query_loss)
        yield Equal(f"{size} at once: adapted", r.adapted, adapted)

    def by_two(params: Tree, stacked: Task) -> MetaGradient:
        return at.batch_meta_gradient(params=params, tasks=stacked, chunk_size=2)

    r = ms.compile(by_two, backend=at.B)(at.params, at.B.tree_stack(tasks))
    yield Equal("compiled: delta", r.delta, delta)
    yield Equal("compiled: query_loss", r.query_loss, query_loss)
    yield Equal("compiled: adapted", r.adapted, adapted)
    nothing = partial(at.batch_meta_gradient, tasks=tasks, chunk_size=0)
    yield raises("no task at once", InvalidArgumentError, nothing)
