"""Gradient descent with momentum (Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import FRACTION, NOT_NEGATIVE
from metaspec.inner.base import Hyper, coefficients, settle_rule
from metaspec.task import Tree
from metaspec.trees import tree_map, zeros_like


@dataclass(frozen=True)
class Momentum:
    """m_{k+1} = mu m_k + g_k, theta_{k+1} = theta_k - lr m_{k+1}; with `nesterov` theta_k - lr (g_k + mu m_{k+1}).

    m_0 = 0 for every task. It is the rule of `torch.optim.SGD` with momentum.

    Attributes:
        lr: The rate, as for `GradientDescent`.
        steps: K >= 0.
        momentum: mu in [0, 1), in each of the forms of `lr`.
        nesterov: Look ahead.

    Raises:
        InvalidArgumentError: A number outside of its range.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.Momentum(lr=0.1, steps=5, momentum=0.9))
    """

    lr: Any
    steps: int
    momentum: Any = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        settle_rule(self, lr=NOT_NEGATIVE, momentum=FRACTION)

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {"lr": self.lr, "momentum": self.momentum}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return m_0 = 0."""
        return zeros_like(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and m_{k+1}."""
        mu, lr = (coefficients(B, hyper[name], theta) for name in ("momentum", "lr"))
        m = tree_map(B, lambda m, g, mu: mu * m + g, state, gradient, mu)
        along = tree_map(B, lambda m, g, mu: g + mu * m, m, gradient, mu) if self.nesterov else m
        return tree_map(B, lambda x, m, lr: x - lr * m, theta, along, lr), m
