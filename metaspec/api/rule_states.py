"""States of inner rules that are carried from one adaptation to the next, where that is asked for."""

from dataclasses import replace
from typing import Any

from metaspec.algorithms.base import Algorithm, check_algorithm
from metaspec.backend.patterns import Partition
from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.selection import resolve
from metaspec.checks.inputs import check_foreign, check_params
from metaspec.errors import InvalidTypeError
from metaspec.inner.continued import Continued, RuleState, check_state
from metaspec.inner.learned import parameters_of
from metaspec.task import MetaGradient, Tree
from metaspec.trees import tree_map


def initial_state(algo: Algorithm, params: Tree, *, backend: str | Backend | None = None) -> RuleState:
    """Return the inner rule's state before its first step, with which every task starts where no state is given.

    Args:
        algo: The algorithm; it says which leaves move.
        params: As in `meta_gradient`.
        backend: As in `meta_gradient`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> ms.initial_state(ms.Reptile(ms.Momentum(lr=0.1, steps=2)), {"w": np.ones(2)})
        RuleState(state={'w': array([0., 0.])}, steps=array(0))
    """
    check_algorithm(algo)
    B = resolve(backend, params)
    check_params(B, params)
    with B.guard.compute_context(None):
        theta = parameters_of(params)
        moving = Partition.of(B, theta, getattr(algo, "adapt", None), "initial_state: adapt").split(theta)[0]
        return RuleState(B.guard.detach(algo.inner.init(B, moving)), B.asarray(0))


def starting_from(B: Backend, algo: Algorithm, state: RuleState | None) -> Algorithm:
    """Return the algorithm whose tasks start from a given state of the inner rule; None changes nothing.

    Raises:
        InvalidTypeError: It is no RuleState, or the algorithm has no `inner_loop`.
    """
    if state is None:
        return algo
    check_state(state)
    check_foreign(B, state, "state")
    if not hasattr(algo, "inner_loop"):
        raise InvalidTypeError(f"state: {type(algo).__name__} has no inner_loop, whose state could be carried")
    given: Any = algo
    continued: Algorithm = replace(given, inner=Continued(given.inner, B.guard.private_copy(state)))
    return continued


def state_after(algo: Algorithm, given: RuleState | None, reached: Tree) -> RuleState | None:
    """Return the state to carry on, from the rule's state s_K; None where none was given."""
    return None if given is None else RuleState(reached, given.steps + algo.inner.steps)


def mean_state(B: Backend, r: MetaGradient, given: RuleState | None) -> MetaGradient:
    """Return a batch's result with one state: the mean over tasks; of whole numbers, alike in all tasks, the first."""

    def mean(leaf: Any) -> Any:
        return B.xp.mean(leaf, axis=0) if is_floating(B.dtype_name(leaf)) else leaf[0, ...]

    return r if given is None else r._replace(state=tree_map(B, mean, r.state))
