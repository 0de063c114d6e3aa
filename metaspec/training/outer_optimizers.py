"""Outer optimisers, portable: written once over trees, the same on every backend."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import FRACTION, NOT_NEGATIVE, POSITIVE, Domain, settle
from metaspec.task import Array, Tree
from metaspec.training.schedules import Schedule, schedule_of
from metaspec.trees import norm, scale, tree_map, zeros_like


class Optimizer(Protocol):
    """An outer optimiser: a frozen dataclass whose state is a tree of arrays."""

    @property
    def traceable(self) -> bool:
        """Whether `update` may be compiled together with the meta-gradient."""

    def rate(self, step: int) -> float:
        """Return the learning rate of outer step number `step`; computed in Python, outside of what is compiled."""

    def init(self, B: Backend, params: Tree) -> Tree:
        """Return the state before the first step."""

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """Return the parameters and the state after a step along `delta` with the scalar `rate`. Pure."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum if wanted.

    m <- momentum * m + delta,  params <- params - lr * m, or with Nesterov's - lr * (delta + momentum * m).

    Attributes:
        lr: Step size > 0, or a function of the step (see `schedules`). For Reptile, 1 moves all the way to the mean of
            the adapted parameters.
        momentum: In [0, 1); 0 is plain descent, m = delta.
        nesterov: Whether the momentum is Nesterov's.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> B, params, delta = ms.get_backend("numpy"), {"w": np.array(1.0)}, {"w": np.array(2.0)}
        >>> sgd = ms.training.SGD(lr=0.1)
        >>> params, state = sgd.update(B, params, sgd.init(B, params), delta, np.array(sgd.rate(0)))
        >>> float(params["w"])
        0.8
    """

    lr: float | Schedule = 1e-2
    momentum: float = 0.0
    nesterov: bool = False

    traceable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _settle(self, momentum=FRACTION)

    def rate(self, step: int) -> float:
        """Return the learning rate of this outer step."""
        return schedule_of(self.lr, "SGD: lr")(step)

    def init(self, B: Backend, params: Tree) -> Tree:
        """Return the state before the first step: m = 0, or None without momentum."""
        return zeros_like(B, params) if self.momentum else None

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """Return the parameters and the state after one step."""
        if not self.momentum:
            return _stepped(B, params, rate, delta), None
        m = tree_map(B, lambda m, d: self.momentum * m + d, state, delta)
        way = tree_map(B, lambda m, d: d + self.momentum * m, m, delta) if self.nesterov else m
        return _stepped(B, params, rate, way), m


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015, algorithm 1).

    m <- b1 m + (1 - b1) delta,  v <- b2 v + (1 - b2) delta^2,
    params <- params - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Attributes:
        lr: Step size > 0, or a function of the step (see `schedules`).
        b1: Decay of the first moment, in [0, 1).
        b2: Decay of the second moment, in [0, 1).
        eps: > 0.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> B, params, delta = ms.get_backend("numpy"), {"w": np.array(1.0)}, {"w": np.array(2.0)}
        >>> adam = ms.training.Adam(lr=0.1)
        >>> params, state = adam.update(B, params, adam.init(B, params), delta, np.array(adam.rate(0)))
        >>> float(params["w"].round(6)), int(state["t"])
        (0.9, 1)
    """

    lr: float | Schedule = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    traceable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _settle(self, b1=FRACTION, b2=FRACTION, eps=POSITIVE)

    def rate(self, step: int) -> float:
        """Return the learning rate of this outer step."""
        return schedule_of(self.lr, f"{type(self).__name__}: lr")(step)

    def init(self, B: Backend, params: Tree) -> Tree:
        """Return the state before the first step: zero moments and a zero step count."""
        return {"m": zeros_like(B, params), "v": zeros_like(B, params), "t": B.asarray(0, dtype="int32")}

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """Return the parameters and the state after one step."""
        m = tree_map(B, lambda m, d: self.b1 * m + (1 - self.b1) * d, state["m"], delta)
        v = tree_map(B, lambda v, d: self.b2 * v + (1 - self.b2) * d * d, state["v"], delta)
        t = state["t"] + 1

        def way(m: Array, v: Array) -> Array:
            return _unbiased(B, m, self.b1, t) / (B.xp.sqrt(_unbiased(B, v, self.b2, t)) + self.eps)

        return _stepped(B, params, rate, tree_map(B, way, m, v)), {"m": m, "v": v, "t": t}


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019): lr * weight_decay * params is taken off as well.

    Attributes:
        lr: As in `Adam`.
        b1: As in `Adam`.
        b2: As in `Adam`.
        eps: As in `Adam`.
        weight_decay: >= 0.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> B, params, delta = ms.get_backend("numpy"), {"w": np.array(1.0)}, {"w": np.array(2.0)}
        >>> adam = ms.training.AdamW(lr=0.1, weight_decay=0.5)
        >>> params, state = adam.update(B, params, adam.init(B, params), delta, np.array(adam.rate(0)))
        >>> float(params["w"].round(6)), int(state["t"])
        (0.85, 1)
    """

    lr: float | Schedule = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-2

    traceable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _settle(self, b1=FRACTION, b2=FRACTION, eps=POSITIVE, weight_decay=NOT_NEGATIVE)

    def rate(self, step: int) -> float:
        """Return the learning rate of this outer step."""
        return self._adam.rate(step)

    def init(self, B: Backend, params: Tree) -> Tree:
        """Return the state before the first step, as `Adam` has it: zero moments and a zero step count."""
        return self._adam.init(B, params)

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """Return the parameters and the state after one step."""
        shrunk = tree_map(B, lambda p: p - _rate_like(B, rate, p) * self.weight_decay * p, params)
        return self._adam.update(B, shrunk, state, delta, rate)

    @property
    def _adam(self) -> Adam:
        return Adam(self.lr, self.b1, self.b2, self.eps)


def clip_by_global_norm(B: Backend, tree: Tree, max_norm: float) -> Tree:
    """Return tree * min(1, max_norm / ||tree||), by the norm of all leaves together; a shorter tree keeps its bits.

    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1.
    """
    length = norm(B, tree)
    longer = length > max_norm
    safe = B.xp.where(longer, length, B.xp.ones_like(length))
    return scale(B, B.xp.where(longer, max_norm / safe, B.xp.ones_like(length)), tree)


def _stepped(B: Backend, params: Tree, rate: Array, way: Tree) -> Tree:
    return tree_map(B, lambda p, w: p - _rate_like(B, rate, p) * w, params, way)


def _rate_like(B: Backend, rate: Array, leaf: Array) -> Array:
    return B.xp.astype(rate, leaf.dtype, copy=False)


def _unbiased(B: Backend, moment: Array, decay: float, t: Array) -> Array:
    """Return moment / (1 - decay^t); 1 - decay^t loses half its digits where it is small, expm1 none."""
    if decay == 0:
        return moment
    return moment / -B.xp.expm1(B.xp.astype(t, moment.dtype) * math.log(decay))


def _settle(optimizer: Any, **domains: Domain) -> None:
    settle(optimizer, **domains, **({} if callable(optimizer.lr) else {"lr": POSITIVE}))
