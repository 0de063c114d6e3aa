"""Multi-layer perceptrons; the sinusoid network of the MAML paper."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.nn.activations import relu
from metaspec.nn.initializers import check_dtype, check_seed, glorot_uniform, normal
from metaspec.nn.layers import dense
from metaspec.nn.losses import accuracy, mean_squared_error, softmax_cross_entropy
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class MLP:
    """Multi-layer perceptron: h <- activation(h W_i + b_i) in every layer but the last, which is affine.

    Parameters: {"w0": [D, H], "b0": [H], "w1": ...}. Biases start at 0.

    Attributes:
        sizes: D, hidden widths, outputs: (1, 40, 40, 1) say.
        activation: A function of arrays, such as those of `metaspec.nn`.
        std: Weights start as N(0, std^2) truncated at two standard deviations; Glorot uniform where it is None.
        classifier: The loss is the softmax cross-entropy with integer labels, else the mean squared error.

    Raises:
        InvalidArgumentError, InvalidTypeError: Fewer than two sizes, a size that is no positive integer.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> net = nn.MLP((1, 40, 40, 1))
        >>> net.apply(net.init(seed=0), np.zeros((10, 1), dtype="float32")).shape
        (10, 1)
    """

    sizes: tuple[int, ...]
    activation: Callable[[Array], Array] = relu
    std: float | None = None
    classifier: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", check_sizes("MLP: sizes", self.sizes))
        if len(self.sizes) < 2:
            raise InvalidArgumentError(f"MLP: sizes needs at least inputs and outputs, got {self.sizes}")

    def init(self, seed: int, dtype: str = "float32") -> dict[str, Any]:
        """Return NumPy parameters; each leaf is a function of (seed, its name, its shape) alone."""
        seed, dtype = check_seed(seed), check_dtype(dtype)
        params: dict[str, Any] = {}
        for i, shape in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            w = f"w{i}"
            weight = glorot_uniform(seed, w, shape) if self.std is None else normal(seed, w, shape, self.std, 2.0)
            params |= {w: weight.astype(dtype), f"b{i}": np.zeros(shape[1], dtype)}
        return params

    def apply(self, params: Tree, x: Array) -> Array:
        """Return outputs [N, F] for inputs x [N, D].

        Raises:
            InvalidArgumentError: Shapes that do not fit.
        """
        last = len(self.sizes) - 2
        for i in range(last):
            x = self.activation(dense(x, params[f"w{i}"], params[f"b{i}"]))
        return dense(x, params[f"w{last}"], params[f"b{last}"])

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Return the mean squared error, or a classifier's cross-entropy, on {"x": [N, D], "y": [N, F] or labels}."""
        outputs = self.apply(params, batch["x"])
        return (softmax_cross_entropy if self.classifier else mean_squared_error)(outputs, batch["y"])

    def accuracy(self, params: Tree, batch: Tree) -> Array:
        """Return the share of examples that a classifier gets right.

        Raises:
            InvalidTypeError: The labels are no integers: this is no classification task.
        """
        return accuracy(self.apply(params, batch["x"]), batch["y"])


def sinusoid_mlp(std: float | None = 0.01) -> MLP:
    """The regression network of the MAML paper, 1-40-40-1 with ReLU and mean squared error.

    Args:
        std: Of the weights' start, as `MLP` has it; 0.01 is that of the authors' code, None learns in fewer steps.

    Source: Finn, Abbeel, Levine 2017, section 5.1.

    Example:
        >>> from metaspec import data, nn
        >>> net, task = nn.sinusoid_mlp(), data.Sinusoid().task(0)
        >>> net.loss(net.init(seed=0), task.support).shape
        ()
    """
    return MLP((1, 40, 40, 1), std=std)


def check_sizes(name: str, sizes: Any) -> tuple[int, ...]:
    """Return a sequence of positive integers as a tuple."""
    try:
        numbers = tuple(sizes)
    except TypeError:
        raise InvalidTypeError(f"{name}: expected a sequence of integers, got {sizes!r}") from None
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidTypeError(f"{name}: expected integers, got {number!r} of type {type(number).__name__}")
        if number < 1:
            raise InvalidArgumentError(f"{name}: expected integers >= 1, got {number}")
    return numbers
