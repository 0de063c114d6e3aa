"""Laws of the inner rule's state where it is carried from one adaptation to the next."""

from collections.abc import Iterator

import metaspec as ms
from metaspec.inner.base import with_steps
from metaspec_conformance.laws.family.inner_rule_laws import ON, rule, written_adam
from metaspec_conformance.laws.family.written_out import each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios

B1, B2 = 0.5, 0.25  # whose powers have no rounding, whichever way they are computed


def _adam(at: LawContext) -> ms.Adam:
    return ms.Adam(0.01, at.algorithm.inner.steps, b1=B1, b2=B2, eps=1e-3)


@rule(
    "K, 2 and K steps, each from the state that the last left, are 2 K + 2 steps in one; in Δ that state is a constant",
    "MS-RULE-9",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def continued(at: LawContext) -> Iterator[Claim]:
    B, adam, support = at.B, _adam(at), at.task.support
    K = adam.steps
    theta, state = at.params, ms.initial_state(ms.MAML(adam), at.params, backend=B)
    for steps in (K, 2, K):
        algo = ms.MAML(with_steps(adam, steps))
        theta, state = ms.adapt(algo, at.loss, theta, support, state=state, backend=B)
    yield Equal("adapted", theta, at.adapt(ms.MAML(with_steps(adam, 2 * K + 2))))
    m, v = state.state
    n, step = 2 * K + 2, written_adam(B1, B2)(at, {})

    def objective(phi: Tree) -> Array:
        def move(theta: Tree, kept: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
            return step(theta, (m, v, v) if kept is None else kept, g, n + k)

        return at.loss(loop(at, move, phi)[-1], at.task.query)

    r = at.meta_gradient(ms.MAML(adam), params=theta, state=state)
    yield Equal("delta", r.delta, B.grad(objective)(theta))


@rule(
    "a batch's state is the mean of what its tasks, each from the given one, end with",
    "MS-RULE-9",
    on=scenarios("stacked/maml"),
    applies=lambda scenario: False,
    dtypes=ONE_FORMAT,
)
def state_of_a_batch(at: LawContext) -> Iterator[Claim]:
    algo = ms.Reptile(_adam(at))
    first = at.meta_gradient(algo, state=ms.initial_state(algo, at.params, backend=at.B)).state
    rows = [at.meta_gradient(algo, task=task, state=first).state.state for task in at.tasks]
    r = at.batch_meta_gradient(algo, state=first)
    yield Equal("mean", r.state.state, each(at, lambda *leaves: sum(leaves) / len(rows), *rows))
