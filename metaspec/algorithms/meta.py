"""The parameters of an algorithm together with what it learns beside them."""

from collections.abc import Mapping
from typing import Any

from metaspec.backend.arrays import plain_leaves
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import InnerRule
from metaspec.inner.learned import Learned, Meta
from metaspec.task import Tree


def learned_inputs(rule: InnerRule) -> dict[str, Learned]:
    """Return the rule's inputs that are learned, by name."""
    return {name: value for name, value in rule.inputs.items() if isinstance(value, Learned)}


def initial_meta(
    learned: Mapping[str, Learned], params: Tree, steps: int, backend: str | Backend | None = None
) -> Tree:
    """Return Meta(params, learned arrays), or `params` itself where nothing is learned."""
    if not learned:
        return params
    B = resolve(backend, plain_leaves(params))
    with B.guard.compute_context(None):
        return Meta(params, {name: entry.init(B, params, steps) for name, entry in learned.items()})


def meta_parts(learned: Mapping[str, Learned], meta: Tree, algorithm: str) -> tuple[Tree, dict[str, Tree]]:
    """Return the parameters and the learned arrays of what a user passed as `params`.

    Raises:
        InvalidArgumentError: The algorithm learns something and was given bare parameters, or the other way round.
    """
    if isinstance(meta, Meta):
        if set(meta.learned) != set(learned):
            raise InvalidArgumentError(
                f"params: {algorithm} learns {', '.join(learned) or 'nothing'} beside the parameters, the Meta given "
                f"holds {', '.join(meta.learned) or 'nothing'}; make it with algo.init(params)"
            )
        return meta.params, meta.learned
    if learned:
        raise InvalidArgumentError(
            f"params: {algorithm} learns {', '.join(learned)} beside the parameters; pass algo.init(params), a "
            "ms.Meta, in place of params"
        )
    return meta, {}


def with_learned(params: Tree, learned: dict[str, Any]) -> Tree:
    """Return a meta-update in the structure of what `initial_meta` gave."""
    return Meta(params, learned) if learned else params
