"""Inner loops of the family written out from SPEC.md's formulas, for the framework's own backpropagation."""

from collections.abc import Callable, Iterator
from typing import Any

from metaspec.inner.learned import Meta
from metaspec.trees import tree_map
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree

Move = Callable[[Tree, Tree, Tree, int], tuple[Tree, Tree]]
"""(theta, state, gradient, k) -> (theta, state); the state is None at the first step."""


def loop(at: LawContext, move: Move, phi: Tree, gradient: Callable[[Tree, int], Tree] | None = None) -> list[Tree]:
    """Return theta_0 ... theta_K."""
    slope = gradient or (lambda theta, k: at.gradient(at.task.support, theta))
    theta, state, visited = phi, None, [phi]
    for k in range(at.algorithm.inner.steps):
        theta, state = move(theta, state, slope(theta, k), k)
        visited.append(theta)
    return visited


def backpropagated(
    at: LawContext,
    algorithm: Any,
    objective: Callable[[Tree, dict[str, Tree]], Array],
    params: Tree = None,
    loss: Callable[[Tree, Tree], Array] | None = None,
    moved: Callable[[Array], Array] = lambda x: x,
    task: Any = None,
) -> Iterator[Claim]:
    """Yield that the algorithm's delta is the gradient of the objective in the parameters and in what is learned.

    Args:
        at: The context.
        algorithm: The algorithm.
        objective: (params, learned) -> the query loss.
        params: In place of the scenario's.
        loss: In place of the scenario's.
        moved: Learned inputs are judged at what it makes of their first values.
        task: In place of the scenario's.
    """
    meta = algorithm.init(at.params if params is None else params, backend=at.B)
    if isinstance(meta, Meta):
        meta = Meta(meta.params, tree_map(at.B, moved, meta.learned))
    phi, learned = (meta.params, meta.learned) if isinstance(meta, Meta) else (meta, {})
    value, (in_phi, in_learned) = at.B.value_and_grad(lambda both: objective(*both))((phi, learned))
    r = at.meta_gradient(algorithm, loss, meta, task)
    yield Equal("delta", r.delta.params if learned else r.delta, in_phi)
    if learned:
        yield Equal("learned", r.delta.learned, in_learned)
    yield Equal("query_loss", r.query_loss, value)


def each(at: LawContext, f: Callable[..., Array], *trees: Tree) -> Tree:
    """Return f leaf by leaf."""
    return tree_map(at.B, f, *trees)
