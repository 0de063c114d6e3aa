"""The Omniglot network of the MAML paper: four convolutional blocks and an affine read-out."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.checks.arguments import checked_number
from metaspec.errors import InvalidArgumentError
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
    """Convolutional network: blocks of 3 x 3 convolution, batch normalisation, ReLU and halving; affine read-out.

    Parameters, for block i: {"kernel<i>": [3, 3, C, F], "scale<i>": [F], "shift<i>": [F]}, then "w": [F, ways] and
    "b": [ways]. The convolutions have no bias: batch normalisation would cancel it, and its gradient would be noise.

    Attributes:
        ways: Classes.
        filters: F, of every block.
        pool: True: convolutions of stride 1, then 2 x 2 max-pooling; False: convolutions of stride 2 in its place.
        channels: C of the pictures.
        blocks: How many blocks.
        kernel_gain: By how much longer than Glorot's the kernels start. Through batch normalisation the network's value
            is the same for any gain c (but for the epsilon there); its gradient by the kernels is 1/c and its Hessian
            1/c^2 times that of c = 1. Algorithms that need a loss of small curvature (iMAML: regularization > the
            Hessian's negative part, inner rate < 2 / its positive part) want c > 1.
        readout_std: Of the read-out's weights as they start; the smaller, the smaller the curvature.

    Raises:
        InvalidArgumentError, InvalidTypeError: A size that is no positive integer, a gain or a deviation that is no
            finite number > 0.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> net = nn.ConvNet(ways=5, filters=8)
        >>> net.apply(net.init(seed=0), np.zeros((10, 28, 28), dtype="float32")).shape
        (10, 5)
    """

    ways: int
    filters: int = 64
    pool: bool = False
    channels: int = 1
    blocks: int = 4
    kernel_gain: float = 1.0
    readout_std: float = 1.0

    def __post_init__(self) -> None:
        for name in ("kernel_gain", "readout_std"):
            number = checked_number(getattr(self, name), f"ConvNet: {name}", "a finite number > 0", lambda x: x > 0)
            object.__setattr__(self, name, number)
        for name in ("ways", "filters", "channels", "blocks"):
            check_sizes(f"ConvNet: {name}", (getattr(self, name),))

    def init(self, seed: int, dtype: str = "float32") -> dict[str, Any]:
        """Return NumPy parameters; each leaf is a function of (seed, its name, its shape) alone.

        As in the MAML authors' code unless said otherwise: kernels Glorot uniform, the read-out's weights N(0, 1),
        shifts and biases 0.
        """
        seed, dtype = check_seed(seed), check_dtype(dtype)
        F = self.filters
        params: dict[str, Any] = {}
        for i in range(self.blocks):
            kernel = glorot_uniform(seed, f"kernel{i}", (3, 3, F if i else self.channels, F))
            params |= {f"kernel{i}": self.kernel_gain * kernel, f"scale{i}": np.ones(F), f"shift{i}": np.zeros(F)}
        params |= {"w": normal(seed, "w", (F, self.ways), self.readout_std), "b": np.zeros(self.ways)}
        return {name: leaf.astype(dtype) for name, leaf in params.items()}

    def apply(self, params: Tree, x: Array) -> Array:
        """Return logits [N, ways] for pictures x [N, H, W] (of one channel) or [N, H, W, C].

        Raises:
            InvalidArgumentError: Shapes that do not fit, pictures too small to be halved so often.
        """
        xp = backend_of(x).xp
        self._check_pictures(tuple(x.shape))
        if len(x.shape) == 3:
            x = xp.expand_dims(x, axis=-1)
        for i in range(self.blocks):
            x = conv2d(x, params[f"kernel{i}"], stride=1 if self.pool else 2)
            x = relu(batch_norm(x, params[f"scale{i}"], params[f"shift{i}"]))
            x = max_pool2d(x) if self.pool else x
        return dense(xp.mean(x, axis=(1, 2)), params["w"], params["b"])

    def _check_pictures(self, shape: tuple[int, ...]) -> None:
        expected = f"ConvNet: expected pictures [N, H, W, {self.channels}], got shape {shape}"
        if len(shape) == 4 and shape[-1] != self.channels:
            if shape[1] == self.channels:
                raise InvalidArgumentError(
                    f"{expected}: channels come last here; xp.permute_dims(x, (0, 2, 3, 1)) moves them"
                )
            raise InvalidArgumentError(
                f"{expected}, with {shape[-1]} channels; ConvNet(..., channels={shape[-1]}) takes them"
            )
        if len(shape) == 3 and self.channels != 1:
            raise InvalidArgumentError(
                f"{expected}, without an axis of channels; xp.expand_dims(x, axis=-1) adds it for one"
            )
        if len(shape) not in (3, 4):
            what = "one picture alone" if len(shape) == 2 else "another number of axes"
            raise InvalidArgumentError(f"{expected}, which is {what}; pictures of one channel may be [N, H, W]")

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Return the mean softmax cross-entropy on {"x": pictures, "y": integer labels [N]}."""
        return softmax_cross_entropy(self.apply(params, batch["x"]), batch["y"])

    def accuracy(self, params: Tree, batch: Tree) -> Array:
        """Return the share of pictures classified right; batch as for `loss`."""
        return accuracy(self.apply(params, batch["x"]), batch["y"])


def omniglot_convnet(
    ways: int, filters: int = 64, *, pool: bool = False, kernel_gain: float = 1.0, readout_std: float = 1.0
) -> ConvNet:
    """The MAML paper's network for 28 x 28 Omniglot pictures.

    Four blocks of 64 filters, strided convolutions in place of pooling (the paper's choice for Omniglot). Where the
    authors' code and this differ: they keep the shifts of batch normalisation out of the inner loop and have no scales;
    here both are parameters like all others. The loss is a mean (see `metaspec.nn.losses`: inner rates differ).

    Args:
        ways: Classes.
        filters: Of every block.
        pool: 2 x 2 max-pooling in place of stride 2.
        kernel_gain: As ConvNet has it; the authors' is 1.
        readout_std: Likewise.

    Raises:
        InvalidArgumentError, InvalidTypeError: As ConvNet.

    Source: Finn, Abbeel, Levine 2017, section 5.2.

    Example:
        >>> from metaspec import nn
        >>> nn.omniglot_convnet(ways=5).init(seed=0)["kernel0"].shape
        (3, 3, 1, 64)
    """
    return ConvNet(ways, filters, pool, kernel_gain=kernel_gain, readout_std=readout_std)
