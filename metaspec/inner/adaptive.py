"""Rules that divide by a root of squared gradients: Adam, AMSGrad, AdamW, RMSProp, AdaGrad, Adadelta.

A root has an infinite slope at zero. Where all gradients of an entry were zero, the square under the root is zero
together with its derivative, so the root's derivative is taken as zero there: the rules' own limit, and finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import FRACTION, NOT_NEGATIVE, POSITIVE
from metaspec.inner.base import Hyper, coefficients, complement_of_power, settle_rule
from metaspec.task import Array, Tree
from metaspec.trees import tree_map, zeros_like


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015), AMSGrad (Reddi, Kale, Kumar 2018) and AdamW (Loshchilov, Hutter 2019).

        m_{k+1} = b1 m_k + (1 - b1) g_k,   v_{k+1} = b2 v_k + (1 - b2) g_k^2
        d_k = (m_{k+1} / (1 - b1^{k+1})) / (sqrt(v_{k+1} / (1 - b2^{k+1})) + eps)
        theta_{k+1} = theta_k - lr (d_k + decay theta_k)

    With `amsgrad` the largest v so far stands under the root. m_0 = v_0 = 0 for every task. It is the rule of
    `torch.optim.Adam`, and of `torch.optim.AdamW` with `decay`.

    Attributes:
        lr: The rate, as for `GradientDescent`.
        steps: K >= 0.
        b1: Decay of the mean, in [0, 1), in each of the forms of `lr`.
        b2: Decay of the mean square, in [0, 1), likewise.
        eps: Added to the root; > 0.
        decay: Decoupled weight decay, >= 0, likewise.
        amsgrad: Use the largest mean square.

    Raises:
        InvalidArgumentError: A number outside of its range.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.Adam(lr=ms.Learned(0.01, per="leaf"), steps=5))
    """

    lr: Any
    steps: int
    b1: Any = 0.9
    b2: Any = 0.999
    eps: Any = 1e-8
    decay: Any = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE, b1=FRACTION, b2=FRACTION, eps=POSITIVE, decay=NOT_NEGATIVE)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("lr", "b1", "b2", "eps", "decay")}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return m_0 and v_0, and with `amsgrad` the largest v."""
        return tuple(zeros_like(B, theta) for _ in range(3 if self.amsgrad else 2))

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and the state after the step."""
        lr, b1, b2, eps, decay = (coefficients(B, hyper[name], theta) for name in self.inputs)
        m = tree_map(B, lambda m, g, b: b * m + (1 - b) * g, state[0], gradient, b1)
        v = tree_map(B, lambda v, g, b: b * v + (1 - b) * (g * g), state[1], gradient, b2)
        top = tree_map(B, B.xp.maximum, state[2], v) if self.amsgrad else v

        def moved(x: Array, m: Array, v: Array, lr: Any, b1: Any, b2: Any, eps: Any, decay: Any) -> Array:
            c1, c2 = (complement_of_power(B, b, k + 1, x) for b in (b1, b2))
            step = m / (c1 * (_root(B, v / c2) + eps))
            return x - lr * (step if isinstance(decay, float) and decay == 0.0 else step + decay * x)

        theta = tree_map(B, moved, theta, m, top, lr, b1, b2, eps, decay)
        return theta, (m, v, top) if self.amsgrad else (m, v)


@dataclass(frozen=True)
class RMSProp:
    """Steps divided by a root mean square of gradients (Tieleman, Hinton 2012).

        v_{k+1} = rho v_k + (1 - rho) g_k^2,   theta_{k+1} = theta_k - lr g_k / (sqrt(v_{k+1}) + eps)

    v_0 = 0 for every task. It is the rule of `torch.optim.RMSprop`.

    Attributes:
        lr: The rate, as for `GradientDescent`.
        steps: K >= 0.
        rho: Decay of the mean square, in [0, 1), in each of the forms of `lr`.
        eps: Added to the root; > 0.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.RMSProp(lr=0.01, steps=5))
    """

    lr: Any
    steps: int
    rho: Any = 0.99
    eps: Any = 1e-8

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE, rho=FRACTION, eps=POSITIVE)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("lr", "rho", "eps")}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return v_0 = 0."""
        return zeros_like(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and v_{k+1}."""
        lr, rho, eps = (coefficients(B, hyper[name], theta) for name in self.inputs)
        v = tree_map(B, lambda v, g, rho: rho * v + (1 - rho) * (g * g), state, gradient, rho)
        return _divided(B, theta, gradient, v, lr, eps), v


@dataclass(frozen=True)
class AdaGrad:
    """v_{k+1} = v_k + g_k^2, theta_{k+1} = theta_k - lr g_k / (sqrt(v_{k+1}) + eps) (Duchi, Hazan, Singer 2011).

    v_0 = 0 for every task. It is the rule of `torch.optim.Adagrad`.

    Attributes:
        lr: The rate, as for `GradientDescent`.
        steps: K >= 0.
        eps: Added to the root; > 0.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.AdaGrad(lr=0.1, steps=5))
    """

    lr: Any
    steps: int
    eps: Any = 1e-10

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE, eps=POSITIVE)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {"lr": self.lr, "eps": self.eps}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return v_0 = 0."""
        return zeros_like(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and v_{k+1}."""
        lr, eps = (coefficients(B, hyper[name], theta) for name in self.inputs)
        v = tree_map(B, lambda v, g: v + g * g, state, gradient)
        return _divided(B, theta, gradient, v, lr, eps), v


@dataclass(frozen=True)
class Adadelta:
    """Steps in units of earlier steps (Zeiler 2012).

        v_{k+1} = rho v_k + (1 - rho) g_k^2,   d_k = g_k sqrt(u_k + eps) / sqrt(v_{k+1} + eps)
        u_{k+1} = rho u_k + (1 - rho) d_k^2,   theta_{k+1} = theta_k - lr d_k

    u_0 = v_0 = 0 for every task. It is the rule of `torch.optim.Adadelta`.

    Attributes:
        lr: The rate, as for `GradientDescent`.
        steps: K >= 0.
        rho: Decay of both mean squares, in [0, 1), in each of the forms of `lr`.
        eps: Added under the roots; > 0.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.Adadelta(lr=1.0, steps=5))
    """

    lr: Any
    steps: int
    rho: Any = 0.9
    eps: Any = 1e-6

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE, rho=FRACTION, eps=POSITIVE)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("lr", "rho", "eps")}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return v_0 and u_0, both zero."""
        return zeros_like(B, theta), zeros_like(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and the state after the step."""
        lr, rho, eps = (coefficients(B, hyper[name], theta) for name in self.inputs)
        sqrt = B.xp.sqrt
        v = tree_map(B, lambda v, g, rho: rho * v + (1 - rho) * (g * g), state[0], gradient, rho)
        d = tree_map(B, lambda g, u, v, eps: g * sqrt(u + eps) / sqrt(v + eps), gradient, state[1], v, eps)
        u = tree_map(B, lambda u, d, rho: rho * u + (1 - rho) * (d * d), state[1], d, rho)
        return tree_map(B, lambda x, d, lr: x - lr * d, theta, d, lr), (v, u)


def _root(B: Backend, square: Array) -> Array:
    """Return the root of the square, or of the smallest normal number where that is more; there its derivative is zero.

    Gradients that small, and so what is divided by the root, are zero to the last digit of any eps.
    """
    xp = B.xp
    least = B.asarray(xp.finfo(square.dtype).smallest_normal, dtype=B.dtype_name(square))
    return xp.sqrt(xp.maximum(square, least))


def _divided(B: Backend, theta: Tree, gradient: Tree, square: Tree, lr: Tree, eps: Tree) -> Tree:
    return tree_map(B, lambda x, g, v, lr, eps: x - lr * (g / (_root(B, v) + eps)), theta, gradient, square, lr, eps)
