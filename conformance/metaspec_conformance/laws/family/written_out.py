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
    at: LawContext, algorithm: Any, objective: Callable[[Tree, dict[str, Tree]], Array]
) -> Iterator[Claim]:
    """Yield that the algorithm's delta is the gradient of the objective in the parameters and in what is learned."""
    meta = algorithm.init(at.params, backend=at.B)
    phi, learned = (meta.params, meta.learned) if isinstance(meta, Meta) else (meta, {})
    value, (in_phi, in_learned) = at.B.value_and_grad(lambda both: objective(*both))((phi, learned))
    r = at.meta_gradient(algorithm, params=meta)
    yield Equal("delta", r.delta.params if learned else r.delta, in_phi)
    if learned:
        yield Equal("learned", r.delta.learned, in_learned)
    yield Equal("query_loss", r.query_loss, value)


def each(at: LawContext, f: Callable[..., Array], *trees: Tree) -> Tree:
    """Return f leaf by leaf."""
    return tree_map(at.B, f, *trees)
