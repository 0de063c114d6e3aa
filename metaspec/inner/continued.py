"""A rule that goes on from the state that an earlier adaptation left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.base import Hyper, InnerRule
from metaspec.task import Array, Tree


class RuleState(NamedTuple):
    """State of an inner rule between two adaptations: what is carried from task to task where that is asked for.

    `initial_state` makes the first one; `adapt` and `meta_gradient` take one and return the next.

    Attributes:
        state: The rule's own state, Adam's (m, v) say, for the leaves that move; None for a rule without.
        steps: How many steps it has taken part in, a scalar integer array: Adam's bias correction goes on from there.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.Momentum(lr=0.1, steps=2))
        >>> params, loss = {"w": np.array(1.0)}, lambda params, batch: (params["w"] - batch) ** 2
        >>> theta, state = ms.adapt(algo, loss, params, np.array(2.0), state=ms.initial_state(algo, params))
        >>> int(state.steps), float(state.state["w"].round(6))
        (2, -3.4)
    """

    state: Tree
    steps: Array


@dataclass(frozen=True)
class Continued:
    """`rule` from a given state, a constant under differentiation; its own count of steps goes on from `given.steps`.

    Schedules and rates per step are those of the task's own step k.

    Attributes:
        rule: The rule inside.
        given: The state that it starts from.
    """

    rule: InnerRule
    given: RuleState

    @property
    def steps(self) -> int:
        return self.rule.steps

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.rule.inputs

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the given state.

        Raises:
            InvalidArgumentError: It is not of this rule and these parameters.
        """
        expected, found = B.tree_flatten(self.rule.init(B, theta)), B.tree_flatten(self.given.state)
        if found[1] != expected[1]:
            raise InvalidArgumentError(
                f"state: that of {_kind(self.rule)} on these parameters has the structure {expected[1]}, the one given "
                f"has {found[1]}; ms.initial_state(algo, params) makes the first"
            )
        for path, leaf, like in zip(B.tree_paths(self.given.state), found[0], expected[0], strict=True):
            if getattr(leaf, "shape", ()) != getattr(like, "shape", ()):
                raise InvalidArgumentError(
                    f"state: leaf {path} has shape {tuple(leaf.shape)}, expected {tuple(like.shape)}: it is of other "
                    "parameters; ms.initial_state(algo, params) makes the first"
                )
        return self.given.state

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return what the rule inside makes of its step number `given.steps` + k."""
        return self.rule.update(B, theta, state, gradient, k + self.given.steps, hyper)


def check_state(state: Any) -> None:
    """Raise InvalidTypeError unless it is a RuleState."""
    if not isinstance(state, RuleState):
        raise InvalidTypeError(
            f"state: expected a ms.RuleState, from ms.initial_state(algo, params) or an earlier result, got "
            f"{type(state).__name__}"
        )


def _kind(rule: Any) -> str:
    return _kind(rule.rule) if hasattr(rule, "rule") else type(rule).__name__
