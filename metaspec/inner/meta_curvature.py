"""Meta-Curvature (Park, Oliva 2019): matrices, learned with the parameters, that transform the inner gradient.

A leaf's gradient is read as an array G[a, i, o] of output channels o, input channels i and all other axes a joined (a
kernel's window), and is multiplied along each by a matrix:

    (M g)[a, i, o] = sum_{b, j, p} W[a, b] I[i, j] O[o, p] G[b, j, p],   theta_{k+1} = u(theta_k, s_k, M g_k)

A matrix of weights has no window, a vector no inputs either; a scalar is one output.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import check_choice
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import Hyper, InnerRule, check_inner
from metaspec.inner.learned import Learned
from metaspec.task import Array, Tree
from metaspec.trees import tree_map

Channels = Literal["last", "first"]
FACTORS = ("output", "input", "window")


@dataclass(frozen=True)
class MetaCurvature:
    """`rule` on M g, M = W (x) I (x) O with a factor for the window, the inputs and the outputs of each leaf.

    The factors are `Learned`, begin as identities and are square matrices; in `Meta.learned` "output", "input" and
    "window" are trees like `params`, of zero-size arrays where a leaf has no such axis. With v_{k+1} the cotangent of
    M g_k, d l_query / d M = sum_k v_{k+1} g_k^T, by its factors.

    Attributes:
        rule: The rule inside.
        channels: Where a leaf's channels stand. "last": [..., inputs, outputs], as in `metaspec.nn`, JAX and Keras.
            "first": [outputs, inputs, ...], as in PyTorch.
        per_step: Other factors at each step.

    Source: Park, Oliva 2019, "Meta-Curvature" (MC2).

    Example:
        >>> import numpy as np, metaspec as ms
        >>> algo = ms.MAML(ms.MetaCurvature(ms.GradientDescent(0.1, steps=5)))
        >>> learned = algo.init({"kernel": np.ones((3, 3, 2, 8)), "b": np.ones(8)}).learned
        >>> [learned[name]["kernel"].shape for name in ("window", "input", "output")]
        [(9, 9), (2, 2), (8, 8)]
    """

    rule: InnerRule
    channels: Channels = "last"
    per_step: bool = False

    def __post_init__(self) -> None:
        check_inner(self.rule, "MetaCurvature")
        check_choice(self.channels, "MetaCurvature: channels", ("last", "first"))
        if not set(FACTORS).isdisjoint(self.rule.inputs):
            raise InvalidArgumentError("MetaCurvature: the rule has such matrices already; apply it once")

    @property
    def steps(self) -> int:
        return self.rule.steps

    @property
    def inputs(self) -> Mapping[str, Any]:
        factors = {name: Learned(1.0, Identity(name, self.channels), self.per_step) for name in FACTORS}
        return {**self.rule.inputs, **factors}

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the state of the rule inside."""
        return self.rule.init(B, theta)

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return what the rule inside makes of M g."""
        curved = tree_map(B, self._curved(B), gradient, *(hyper[name] for name in FACTORS))
        return self.rule.update(B, theta, state, curved, k, hyper)

    def _curved(self, B: Backend) -> Callable[..., Array]:
        xp = B.xp

        def curved(g: Array, output: Array, inputs: Array, window: Array) -> Array:
            sizes = read_as(tuple(g.shape), self.channels)
            axes, factors = [sizes[name] or 1 for name in ("window", "input", "output")], [window, inputs, output]
            if self.channels == "first":
                axes, factors = axes[::-1], factors[::-1]
            left, middle, right = (factor if factor.shape[-1] else None for factor in factors)
            x = xp.reshape(g, tuple(axes))
            x = x if right is None else xp.matmul(x, xp.permute_dims(right, (1, 0)))
            x = x if middle is None else xp.matmul(middle, x)
            x = x if left is None else xp.matmul(left, xp.reshape(x, (axes[0], -1)))
            return xp.reshape(x, tuple(g.shape))

        return curved


@dataclass(frozen=True)
class Identity:
    """(B, leaf) -> the identity along one factor's axis of the leaf, [0, 0] where it has none."""

    factor: str
    channels: Channels

    def __call__(self, B: Backend, leaf: Array) -> Array:
        size = read_as(tuple(leaf.shape), self.channels)[self.factor]
        return B.xp.eye(size, dtype=leaf.dtype)


def read_as(shape: tuple[int, ...], channels: Channels) -> dict[str, int]:
    """Return the sizes of a leaf's outputs, inputs and window; 0 for what it does not have."""
    axes = shape[::-1] if channels == "last" else shape
    return {
        "output": axes[0] if axes else 1,
        "input": axes[1] if len(axes) > 1 else 0,
        "window": prod(axes[2:]) if len(axes) > 2 else 0,
    }
