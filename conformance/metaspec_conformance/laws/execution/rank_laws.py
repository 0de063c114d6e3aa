"""Laws of several processes, played by one: what each hands to the reduction is caught, and the sum handed to all."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import reduce

import metaspec as ms
from metaspec.backend.protocol import Backend
from metaspec.task import MetaGradient, Task, Tree
from metaspec.trees import add, scale
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import LawContext


class _Handed(ms.MetaspecError):
    def __init__(self, tree: Tree) -> None:
        self.tree = tree


def _hand_over(tree: Tree, op: str = "sum") -> Tree:
    raise _Handed(tree)


def _in_rank(B: Backend, rank: int, count: int, all_reduce: Callable[..., Tree]) -> Backend:
    played = copy(B)
    played.process = lambda: (rank, count)  # type: ignore[method-assign]
    played.all_reduce = all_reduce  # type: ignore[method-assign]
    return played


@law(
    "D(t_1 | t_2, t_3 | t_4, t_5) = Σ_i D(t_i) / 5 in each of three processes, whose shares differ in size",
    "MS-BATCH-5",
    on=small,
    applies=alone,
    dtypes=ONE_FORMAT,
)
def ranks_of_tasks(at: LawContext) -> Iterator[Claim]:
    tasks = [scale(at.B, 1 - i / 8, at.task) for i in range(5)]
    shares = tasks[:1], tasks[1:3], tasks[3:]

    def of(rank: int, share: Sequence[Task], all_reduce: Callable[..., Tree]) -> MetaGradient:
        played = _in_rank(at.B, rank, len(shares), all_reduce)
        return ms.batch_meta_gradient(at.algorithm, at.loss, at.params, share, distributed=True, backend=played)

    handed = []
    for rank, share in enumerate(shares):
        try:
            of(rank, share, _hand_over)
        except _Handed as caught:
            handed.append(caught.tree)
    total = reduce(lambda x, y: add(at.B, x, y), handed)
    whole = at.batch_meta_gradient(tasks=tasks)
    for rank, share in enumerate(shares):
        r = of(rank, share, lambda tree, op="sum": total)
        yield Equal(f"rank {rank}: delta", r.delta, whole.delta)
        yield Equal(f"rank {rank}: query_loss", r.query_loss, whole.query_loss)
        yield Equal(f"rank {rank}: adapted", r.adapted, at.batch_meta_gradient(tasks=share).adapted)
