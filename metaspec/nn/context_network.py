"""A network with a context: a vector that its inputs are joined with, which CAVIA's inner loop moves."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.nn._backend import backend_of
from metaspec.nn.mlp import MLP
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class WithContext:
    """The network f([x, c]) of inputs x [N, D] and a context c, the same for all examples of a task.

    Parameters: the network's and {"context": [C]}, which starts at 0.

    Source: Zintgraf, Shiarlis, Kurin, Hofmann, Whiteson 2019, "Fast Context Adaptation via Meta-Learning", section 3.

    Attributes:
        network: An MLP whose inputs are D + C.
        size: C.

    Example:
        >>> import metaspec as ms
        >>> from metaspec import data, nn
        >>> net = nn.WithContext(nn.MLP((1 + 4, 40, 40, 1)), size=4)
        >>> task = data.Sinusoid().task(0)
        >>> algo = ms.CAVIA(ms.GradientDescent(lr=1.0, steps=2), context="context")
        >>> r = ms.meta_gradient(algo, net.loss, net.init(seed=0), task, backend="numpy")
        >>> r.adapted["context"].shape
        (4,)
    """

    network: MLP
    size: int

    def init(self, seed: int, dtype: str = "float32") -> dict[str, Any]:
        """Return NumPy parameters."""
        return {**self.network.init(seed, dtype), "context": np.zeros(self.size, dtype)}

    def joined(self, params: Tree, x: Array) -> Array:
        """Return [x, c], of shape [N, D + C]."""
        xp = backend_of(x).xp
        return xp.concat([x, xp.broadcast_to(params["context"], (x.shape[0], self.size))], axis=1)

    def apply(self, params: Tree, x: Array) -> Array:
        """Return outputs [N, F] for inputs x [N, D]."""
        return self.network.apply(params, self.joined(params, x))

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Return the network's loss on {"x": [N, D], "y": ...}."""
        return self.network.loss(params, {**batch, "x": self.joined(params, batch["x"])})
