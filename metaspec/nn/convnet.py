"""The Omniglot network of the MAML paper: four convolutional blocks and an affine read-out."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import POSITIVE, settle
from metaspec.errors import InvalidArgumentError
from metaspec.nn._backend import backend_of
from metaspec.nn.activations import relu
from metaspec.nn.convolution import conv2d
from metaspec.nn.initializers import check_dtype, check_seed, glorot_uniform, normal
from metaspec.nn.layers import batch_norm, dense
from metaspec.nn.losses import accuracy, softmax_cross_entropy
from metaspec.nn.mlp import check_sizes
from metaspec.nn.pooling import max_pool2d
from metaspec.nn.prototypes import prototype_head
from metaspec.task import Array, Tree
from metaspec.trees import row


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
        norm_steps: None, or K: scales and shifts have a row for each inner step, [K, F], and batch normalisation takes
            that of the step whose number k the batch holds as "step" (`ms.Minibatches(None, number="step")`), the last
            one without a number. They are MAML++'s; its inner loop leaves them where they are.

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
    norm_steps: int | None = None

    def __post_init__(self) -> None:
        settle(self, kernel_gain=POSITIVE, readout_std=POSITIVE)
        for name in ("ways", "filters", "channels", "blocks"):
            check_sizes(f"ConvNet: {name}", (getattr(self, name),))
        if self.norm_steps is not None:
            check_sizes("ConvNet: norm_steps", (self.norm_steps,))

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
            norm = (F,) if self.norm_steps is None else (self.norm_steps, F)
            params |= {f"kernel{i}": self.kernel_gain * kernel, f"scale{i}": np.ones(norm), f"shift{i}": np.zeros(norm)}
        params |= {"w": normal(seed, "w", (F, self.ways), self.readout_std), "b": np.zeros(self.ways)}
        return {name: leaf.astype(dtype) for name, leaf in params.items()}

    def apply(self, params: Tree, x: Array, step: Any = None) -> Array:
        """Return logits [N, ways] for pictures x [N, H, W] or [N, H, W, C]; `step` is that of `norm_steps`."""
        return dense(self.features(params, x, step), params["w"], params["b"])

    def features(self, params: Tree, x: Array, step: Any = None) -> Array:
        """Return what the read-out sees, [N, F], for pictures as in `apply`.

        Raises:
            InvalidArgumentError: Shapes that do not fit, pictures too small to be halved so often.
        """
        B = backend_of(x)
        xp = B.xp
        self._check_pictures(tuple(x.shape))
        if len(x.shape) == 3:
            x = xp.expand_dims(x, axis=-1)
        for i in range(self.blocks):
            x = conv2d(x, params[f"kernel{i}"], stride=1 if self.pool else 2)
            x = relu(batch_norm(x, *(self._of_step(B, params[f"{name}{i}"], step) for name in ("scale", "shift"))))
            x = max_pool2d(x) if self.pool else x
        return xp.mean(x, axis=(1, 2))

    def from_prototypes(self, params: Tree, support: Tree) -> Tree:
        """Return the parameters with the read-out of `prototype_head`: `start` of `MAML`, which makes it Proto-MAML."""
        w, b = prototype_head(self.features(params, support["x"], 0), support["y"], self.ways)
        return {**params, "w": w, "b": b}

    def _of_step(self, B: Backend, vector: Array, step: Any) -> Array:
        if self.norm_steps is None:
            return vector
        return row(B, vector, self.norm_steps - 1 if step is None else step)

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
        return softmax_cross_entropy(self.apply(params, batch["x"], batch.get("step")), batch["y"])

    def accuracy(self, params: Tree, batch: Tree) -> Array:
        """Return the share of pictures classified right; batch as for `loss`."""
        return accuracy(self.apply(params, batch["x"], batch.get("step")), batch["y"])


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
