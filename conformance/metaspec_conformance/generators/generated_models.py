"""Networks and coupled functions as portable losses: frozen data, each a mean over the examples."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from metaspec import nn
from metaspec.backend.arrays import array_namespace
from metaspec.errors import InvalidArgumentError
from metaspec_conformance.judging.numpy_trees import leaves

Tree = Any
Array = Any

ACTIVATIONS: MappingProxyType[str, Callable[[Array], Array]] = MappingProxyType(
    {"tanh": nn.tanh, "sigmoid": nn.sigmoid, "softplus": nn.softplus, "silu": nn.silu, "gelu": nn.gelu}
)


@dataclass(frozen=True)
class Network:
    """A network of affine layers with an activation between them.

    Params are {"layers": [{"w": [D, F], "b": [F]}, ...]}, a batch {"x": [examples, D], "y": ...}.

    Attributes:
        activation: A name in `ACTIVATIONS`.
        classifies: Softmax cross-entropy, y integer labels [examples]; else mean squared error, y [examples, F].

    Raises:
        InvalidArgumentError: An activation that is not known.
    """

    activation: str = "tanh"
    classifies: bool = False

    def __post_init__(self) -> None:
        _check(self, self.activation)

    def __call__(self, params: Tree, batch: Tree) -> Array:
        """The loss."""
        *hidden, last = params["layers"]
        x = batch["x"]
        for layer in hidden:
            x = ACTIVATIONS[self.activation](nn.dense(x, layer["w"], layer["b"]))
        x = nn.dense(x, last["w"], last["b"])
        return nn.softmax_cross_entropy(x, batch["y"]) if self.classifies else nn.mean_squared_error(x, batch["y"])


@dataclass(frozen=True)
class ConvolutionalNetwork:
    """Softmax cross-entropy of (3 x 3 convolution, activation) per kernel, averages over pixels, an affine read-out.

    Params are {"kernels": [[3, 3, C, F], ...], "w": [F, classes], "b": [classes]}, a batch
    {"x": [examples, H, W, 1], "y": integer labels [examples]}.

    Attributes:
        activation: A name in `ACTIVATIONS`.
        pooled: Whether pixels are averaged in fours after the first layer.

    Raises:
        InvalidArgumentError: An activation that is not known.
    """

    activation: str = "tanh"
    pooled: bool = False

    def __post_init__(self) -> None:
        _check(self, self.activation)

    def __call__(self, params: Tree, batch: Tree) -> Array:
        """The loss."""
        x = batch["x"]
        for i, kernel in enumerate(params["kernels"]):
            x = ACTIVATIONS[self.activation](nn.conv2d(x, kernel))
            x = nn.avg_pool2d(x) if self.pooled and i == 0 else x
        pixels = array_namespace(params).mean(x, axis=(1, 2))
        return nn.softmax_cross_entropy(nn.dense(pixels, params["w"], params["b"]), batch["y"])


@dataclass(frozen=True)
class Rosenbrock:
    """mean_e sum_i (a_e - v_i)^2 / 2 + s_e (v_{i+1} - v_i^2)^2, v the entries of all leaves: a curved, coupled valley.

    Rosenbrock, "An automatic method for finding the greatest or least value of a function", 1960, chained. A batch is
    {"a": [examples], "s": [examples]}.
    """

    def __call__(self, params: Tree, batch: Tree) -> Array:
        """The loss."""
        xp = array_namespace(params)
        v = xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves(params)])
        target = 0.5 * xp.sum((batch["a"][:, None] - v[None, :]) ** 2, axis=1)
        bends = v[1:] - v[:-1] * v[:-1]
        return xp.mean(target + batch["s"] * xp.sum(bends * bends))


def _check(loss: Any, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise InvalidArgumentError(
            f"{type(loss).__name__}: activation: {activation!r} is not one of {', '.join(ACTIVATIONS)}"
        )
