"""Inner update rules as hypotheses: the family's own members on one flat vector, and slips that are no member.

A rule is a name and its constants; what it computes, and its derivative, is its `update` (see `metaspec.inner`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.inner.adaptive import AdaGrad, Adam, RMSProp
from metaspec.inner.base import InnerRule
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.inner.momentum import Momentum
from metaspec.inner.transforms import Transformed, clip_by_norm, clip_by_value
from metaspec_conformance.audit.problem import REFERENCE

Vector = Any
State = Any


@dataclass(frozen=True)
class TriedRule:
    """A rule and its constants.

    Attributes:
        kind: A name of `RULES`.
        constants: The values of the rule's inputs but the rate, in the order in which `RULES` has them.
    """

    kind: str = "gradient descent"
    constants: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the constants are called."""
        return RULES[self.kind][1]

    @property
    def by_entry(self) -> bool:
        """Whether an entry moves by its own gradient alone."""
        return self.kind not in (*NORM_CLIPS, "normalised")

    def begin(self, theta: Vector) -> State:
        """Return the state before the first step."""
        return self._member.init(_numpy(), theta)

    def advance(self, k: int, theta: Vector, state: State, g: Vector, rates: Vector) -> tuple[Vector, State]:
        """Return the parameters and the state after step k = 0, 1, ..."""
        if self.kind == "gradient descent":
            return theta - rates * g, None
        moved, after = self._member.update(_numpy(), theta, state, g, k, self._inputs(rates))
        return moved, after

    def linearize(self, k: int, theta: Vector, state: State, g: Vector, rates: Vector) -> Callable[..., Any]:
        """Return the pull-back of step k.

        It takes the cotangents of the parameters and of the state after the step to those of the parameters, the state
        and the gradient before it, and of the rates.
        """
        if self.kind == "gradient descent":
            return lambda a, b: (a, None, -rates * a, -g * a)
        inputs = tuple(g.dtype.type(c) for c in self.constants)
        pull = _pull_back(self.kind, k)
        return lambda a, b: pull(theta, state, g, rates, inputs, a, b)

    @property
    def _member(self) -> InnerRule:
        return RULES[self.kind][0]

    def _inputs(self, rates: Vector) -> Mapping[str, Any]:
        return {"lr": rates, **dict(zip(self.names, self.constants, strict=True))}


PLAIN = TriedRule()


@cache
def _numpy() -> Backend:
    return get_backend(REFERENCE)


@cache
def _pull_back(kind: str, k: int) -> Callable[..., Any]:
    """Return the pull-back of step k of a rule, compiled."""
    B, (member, names) = _numpy(), RULES[kind]

    def pulled(theta: Vector, state: State, g: Vector, rates: Vector, inputs: Any, a: Vector, b: State) -> Any:
        def step(theta: Vector, state: State, g: Vector, rates: Vector) -> Any:
            return member.update(B, theta, state, g, k, {"lr": rates, **dict(zip(names, inputs, strict=True))})

        return B.vjp(step, theta, state, g, rates)[1]((a, b))

    return B.compile(pulled)


def _norm(B: Backend, g: Vector) -> Any:
    return B.xp.sqrt(B.xp.sum(g * g))


def _clipped_as_torch(B: Backend, theta: Vector, g: Vector, limit: Any) -> Vector:
    """Return g min(1, c / (||g|| + 1e-6)), as `torch.nn.utils.clip_grad_norm_` has it."""
    factor = limit / (_norm(B, g) + 1e-6)
    return g * B.xp.where(factor < 1, factor, B.xp.ones_like(factor))


@dataclass(frozen=True)
class DampedMomentum:
    """m <- c m + (1 - c) g, theta <- theta - lr m."""

    steps = 1
    inputs: Mapping[str, Any] = None  # type: ignore[assignment]

    def init(self, B: Backend, theta: Vector) -> State:
        """Return zero."""
        return 0 * theta

    def update(self, B: Backend, theta: Vector, state: State, gradient: Vector, k: Any, hyper: Any) -> Any:
        """Return the parameters and the mean."""
        m = hyper["momentum"] * state + (1 - hyper["momentum"]) * gradient
        return theta - hyper["lr"] * m, m


@dataclass(frozen=True)
class UncorrectedRootAdam:
    """Adam with epsilon added to the root before its correction, as TensorFlow and Keras have it."""

    steps = 1
    inputs: Mapping[str, Any] = None  # type: ignore[assignment]

    def init(self, B: Backend, theta: Vector) -> State:
        """Return both moments, zero."""
        return 0 * theta, 0 * theta

    def update(self, B: Backend, theta: Vector, state: State, gradient: Vector, k: Any, hyper: Any) -> Any:
        """Return the parameters and the moments."""
        b1, b2, eps = hyper["b1"], hyper["b2"], hyper["eps"]
        m, s = b1 * state[0] + (1 - b1) * gradient, b2 * state[1] + (1 - b2) * (gradient * gradient)
        positive = s > 0
        root = B.xp.where(positive, B.xp.sqrt(B.xp.where(positive, s, B.xp.ones_like(s))), s)
        scale = (1 - b2 ** (k + 1)) ** 0.5 / (1 - b1 ** (k + 1))
        return theta - hyper["lr"] * scale * m / (root + eps), (m, s)


_DESCENT = GradientDescent(1.0, 1)
RULES: Mapping[str, tuple[InnerRule, tuple[str, ...]]] = {
    "gradient descent": (_DESCENT, ()),
    "momentum": (Momentum(1.0, 1), ("momentum",)),
    "nesterov": (Momentum(1.0, 1, nesterov=True), ("momentum",)),
    "damped momentum": (DampedMomentum(), ("momentum",)),
    "adam": (Adam(1.0, 1), ("b1", "b2", "eps", "decay")),
    "amsgrad": (Adam(1.0, 1, amsgrad=True), ("b1", "b2", "eps", "decay")),
    "adam, epsilon before the correction": (UncorrectedRootAdam(), ("b1", "b2", "eps")),
    "rmsprop": (RMSProp(1.0, 1), ("rho", "eps")),
    "adagrad": (AdaGrad(1.0, 1), ("eps",)),
    "normalised": (Transformed(_DESCENT, "floor", 0.0, lambda B, t, g, floor: g / (_norm(B, g) + floor)), ("floor",)),
    "sign": (Transformed(_DESCENT, "size", 0.0, lambda B, t, g, size: size * B.xp.sign(g)), ("size",)),
    "clipped": (clip_by_norm(_DESCENT, 1.0), ("max_norm",)),
    "clipped as PyTorch does": (Transformed(_DESCENT, "max_norm", 1.0, _clipped_as_torch), ("max_norm",)),
    "clipped entries": (clip_by_value(_DESCENT, 1.0), ("max_value",)),
}
"""By name: the rule, and its inputs but the rate."""

NORM_CLIPS = ("clipped", "clipped as PyTorch does")
TRIED = (
    *(TriedRule("momentum", (c,)) for c in (0.9, 1.0, 0.5)),
    TriedRule("nesterov", (0.9,)),
    TriedRule("damped momentum", (0.9,)),
    TriedRule("adam", (0.9, 0.999, 1e-8, 0.0)),
    TriedRule("adam", (0.0, 0.999, 1e-8, 0.0)),
    TriedRule("adam, epsilon before the correction", (0.9, 0.999, 1e-7)),
    TriedRule("adam, epsilon before the correction", (0.0, 0.999, 1e-7)),
    TriedRule("rmsprop", (0.99, 1e-8)),
    TriedRule("rmsprop", (0.9, 1e-8)),
    TriedRule("adagrad", (1e-10,)),
    TriedRule("normalised", (0.0,)),
    TriedRule("sign", (1.0,)),
    *(TriedRule(kind, (c,)) for c in (1.0, 0.5, 0.1, 2.0, 5.0, 10.0) for kind in NORM_CLIPS),
    *(TriedRule("clipped entries", (c,)) for c in (1.0, 0.5, 0.1)),
)
"""The rules with the constants that code usually has."""

FREE = (
    (TriedRule("momentum", (0.7,)), 1),
    (TriedRule("nesterov", (0.7,)), 1),
    (TriedRule("damped momentum", (0.7,)), 1),
    (TriedRule("clipped", (1.0,)), 1),
    (TriedRule("clipped as PyTorch does", (1.0,)), 1),
    (TriedRule("clipped entries", (0.2,)), 1),
    (TriedRule("rmsprop", (0.9, 1e-8)), 1),
    (TriedRule("adam", (0.8, 0.99, 1e-8, 0.0)), 2),
)
"""Rules whose first constants are found, with their number."""


def as_plain(tree: Any) -> Any:
    """Return zeros like a state."""
    if tree is None:
        return None
    return tuple(map(as_plain, tree)) if isinstance(tree, tuple) else np.zeros_like(tree)
