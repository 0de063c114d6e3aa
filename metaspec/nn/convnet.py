"""The Omniglot network of the MAML paper: four convolutional blocks and an affine read-out."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.nn._backend import backend_of
from metaspec.nn.activations import relu
from metaspec.nn.convolution import conv2d
from metaspec.nn.initializers import check_dtype, check_seed, glorot_uniform, normal
from metaspec.nn.layers import batch_norm, dense
from metaspec.nn.losses import accuracy, softmax_cross_entropy
from metaspec.nn.mlp import check_sizes
from metaspec.nn.pooling import max_pool2d
from metaspec.task import Array, Tree


@dataclass(frozen=True)
class ConvNet:
    """(3 x 3 convolution, batch normalisation, ReLU, halving) x blocks, mean over the pixels left, affine read-out.

    Parameters, for block i: {"kernel<i>": [3, 3, C, F], "scale<i>": [F], "shift<i>": [F]}, then "w": [F, ways] and
    "b": [ways]. The convolutions have no bias: batch normalisation would cancel it, and its gradient would be noise.

    Attributes:
        ways: Classes.
        filters: F, of every block.
        pool: True: convolutions of stride 1, then 2 x 2 max-pooling; False: convolutions of stride 2 in its place.
        channels: C of the pictures.
        blocks: How many blocks.

    Raises:
        InvalidArgumentError, InvalidTypeError: A size that is no positive integer.

    Example:
        >>> import numpy as np
        >>> net = ConvNet(ways=5, filters=8)
        >>> net.apply(net.init(seed=0), np.zeros((10, 28, 28), dtype="float32")).shape
        (10, 5)
    """

    ways: int
    filters: int = 64
    pool: bool = False
    channels: int = 1
    blocks: int = 4

    def __post_init__(self) -> None:
        for name in ("ways", "filters", "channels", "blocks"):
            check_sizes(f"ConvNet: {name}", (getattr(self, name),))

    def init(self, seed: int, dtype: str = "float32") -> dict[str, Any]:
        """NumPy parameters; each leaf is a function of (seed, its name, its shape) alone.

        As in the MAML authors' code: kernels Glorot uniform, the read-out's weights N(0, 1), shifts and biases 0.
        """
        seed, dtype = check_seed(seed), check_dtype(dtype)
        F = self.filters
        params: dict[str, Any] = {}
        for i in range(self.blocks):
            kernel = glorot_uniform(seed, f"kernel{i}", (3, 3, F if i else self.channels, F))
            params |= {f"kernel{i}": kernel, f"scale{i}": np.ones(F), f"shift{i}": np.zeros(F)}
        params |= {"w": normal(seed, "w", (F, self.ways), 1.0), "b": np.zeros(self.ways)}
        return {name: leaf.astype(dtype) for name, leaf in params.items()}

    def apply(self, params: Tree, x: Array) -> Array:
        """Logits [N, ways] for pictures x [N, H, W] (of one channel) or [N, H, W, C].

        Raises:
            InvalidArgumentError: Shapes that do not fit, pictures too small to be halved so often.
        """
        xp = backend_of(x).xp
        if len(x.shape) == 3:
            x = xp.expand_dims(x, axis=-1)
        for i in range(self.blocks):
            x = conv2d(x, params[f"kernel{i}"], stride=1 if self.pool else 2)
            x = relu(batch_norm(x, params[f"scale{i}"], params[f"shift{i}"]))
            x = max_pool2d(x) if self.pool else x
        return dense(xp.mean(x, axis=(1, 2)), params["w"], params["b"])

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Mean softmax cross-entropy on {"x": pictures, "y": integer labels [N]}."""
        return softmax_cross_entropy(self.apply(params, batch["x"]), batch["y"])

    def accuracy(self, params: Tree, batch: Tree) -> Array:
        """The share of pictures classified right; batch as for `loss`."""
        return accuracy(self.apply(params, batch["x"]), batch["y"])


def omniglot_convnet(ways: int, filters: int = 64, *, pool: bool = False) -> ConvNet:
    """The MAML paper's network for 28 x 28 Omniglot pictures.

    Four blocks of 64 filters, strided convolutions in place of pooling (the paper's choice for Omniglot). Where the
    authors' code and this differ: they keep the shifts of batch normalisation out of the inner loop and have no scales;
    here both are parameters like all others. The loss is a mean (see `metaspec.nn.losses`: inner rates differ).

    Args:
        ways: Classes.
        filters: Of every block.
        pool: 2 x 2 max-pooling in place of stride 2.

    Raises:
        InvalidArgumentError, InvalidTypeError: A size that is no positive integer.

    Source: Finn, Abbeel, Levine 2017, section 5.2.
    """
    return ConvNet(ways, filters, pool)
