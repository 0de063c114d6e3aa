"""Laws of the meta-batch."""

from collections.abc import Iterator

from metaspec.conformance.laws.bench import Bench
from metaspec.conformance.laws.claims import Claim, Equal
from metaspec.conformance.laws.law import law
from metaspec.conformance.laws.on import scenarios, several_tasks


@law(
    "duplicated-tasks",
    "D(t_1, t_1, t_2, t_2) = D(t_1, t_2): a mean, not a sum",
    "MS-BATCH-1",
    on=scenarios("ragged/{}"),
    applies=several_tasks,
)
def duplicated_tasks(at: Bench) -> Iterator[Claim]:
    once, twice = at.batch_meta_gradient(), at.batch_meta_gradient(tasks=[*at.tasks, *at.tasks])
    yield Equal("delta", twice.delta, once.delta)
    yield Equal("query_loss", twice.query_loss, once.query_loss)


@law(
    "permuted-tasks",
    "D(t_p(1), ..., t_p(n)) = D(t_1, ..., t_n): nothing is carried from task to task",
    "MS-BATCH-3",
    "MS-INNER-1",
    on=scenarios("ragged/{}"),
    applies=several_tasks,
)
def permuted_tasks(at: Bench) -> Iterator[Claim]:
    forwards, backwards = at.batch_meta_gradient(), at.batch_meta_gradient(tasks=at.tasks[::-1])
    yield Equal("delta", backwards.delta, forwards.delta)
    for i in range(len(at.tasks)):
        there, here = (at.B.tree_flatten(r.adapted)[0] for r in (backwards, forwards))
        yield Equal(f"adapted {i}", [leaf[-1 - i, ...] for leaf in there], [leaf[i, ...] for leaf in here])
