"""Outer optimisers, portable: written once over trees, the same on every backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from metaspec.checks import checked_number
from metaspec.protocol import Backend
from metaspec.task import Tree
from metaspec.trees import tree_map, zeros_like

Domain = tuple[str, Callable[[float], bool]]
POSITIVE: Domain = ("a finite number > 0", lambda x: x > 0)
FRACTION: Domain = ("a number in [0, 1)", lambda x: 0 <= x < 1)


class Optimizer(Protocol):
    """An outer optimiser: a frozen dataclass whose state is a tree of arrays."""

    def init(self, B: Backend, params: Tree) -> Tree:
        """The state before the first step."""

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree) -> tuple[Tree, Tree]:
        """The parameters and the state after a step along `delta`. Pure and traceable."""


@dataclass(frozen=True)
class SGD:
    """params <- params - lr * m,  m <- momentum * m + delta  (heavy ball; without momentum m = delta).

    Attributes:
        lr: Step size > 0. For Reptile, 1 moves all the way to the mean of the adapted parameters.
        momentum: In [0, 1).
    """

    lr: float = 1e-2
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _settle(self, lr=POSITIVE, momentum=FRACTION)

    def init(self, B: Backend, params: Tree) -> Tree:
        """m = 0, or nothing without momentum."""
        return zeros_like(B, params) if self.momentum else None

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree) -> tuple[Tree, Tree]:
        """One step."""
        m = tree_map(B, lambda m, d: self.momentum * m + d, state, delta) if self.momentum else delta
        return tree_map(B, lambda p, m: p - self.lr * m, params, m), m if self.momentum else None


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015, algorithm 1).

    m <- b1 m + (1 - b1) delta,  v <- b2 v + (1 - b2) delta^2,
    params <- params - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Attributes:
        lr: Step size > 0.
        b1: Decay of the first moment, in [0, 1).
        b2: Decay of the second moment, in [0, 1).
        eps: > 0.
    """

    lr: float = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _settle(self, lr=POSITIVE, b1=FRACTION, b2=FRACTION, eps=POSITIVE)

    def init(self, B: Backend, params: Tree) -> Tree:
        """Moments of zero; the powers b1^t and b2^t of t = 0, kept leaf by leaf in the leaf's dtype."""
        ones = tree_map(B, lambda p: B.xp.ones_like(B.xp.sum(p)), params)
        return {"m": zeros_like(B, params), "v": zeros_like(B, params), "b1t": ones, "b2t": ones}

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree) -> tuple[Tree, Tree]:
        """One step."""
        xp = B.xp
        m = tree_map(B, lambda m, d: self.b1 * m + (1 - self.b1) * d, state["m"], delta)
        v = tree_map(B, lambda v, d: self.b2 * v + (1 - self.b2) * d * d, state["v"], delta)
        b1t = tree_map(B, lambda power: self.b1 * power, state["b1t"])
        b2t = tree_map(B, lambda power: self.b2 * power, state["b2t"])

        def stepped(p: Any, m: Any, v: Any, b1t: Any, b2t: Any) -> Any:
            return p - self.lr * (m / (1 - b1t)) / (xp.sqrt(v / (1 - b2t)) + self.eps)

        return tree_map(B, stepped, params, m, v, b1t, b2t), {"m": m, "v": v, "b1t": b1t, "b2t": b2t}


def _settle(optimizer: Any, **domains: Domain) -> None:
    for name, (expected, inside) in domains.items():
        value = checked_number(getattr(optimizer, name), f"{type(optimizer).__name__}: {name}", expected, inside)
        object.__setattr__(optimizer, name, value)
