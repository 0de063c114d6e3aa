"""Building blocks and networks as pure functions of arrays, written once for every backend.

Blocks use the array API standard alone, through the backend of their first argument, so they run eagerly, compiled,
batched over tasks and under derivatives of any order. Pictures are [N, H, W, C]. A block has no parameters of its own.

Example:
    >>> import metaspec as ms
    >>> from metaspec import data, nn
    >>> net = nn.sinusoid_mlp()
    >>> params = ms.asarray(net.init(seed=0), backend="numpy")
    >>> tasks = ms.asarray(data.Sinusoid().batch(step=0, size=4), backend="numpy")
    >>> r = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(lr=0.01, steps=1)), net.loss, params, tasks)
    >>> r.delta["w1"].shape
    (40, 40)
"""

from metaspec.errors import tell_nearest
from metaspec.nn.activations import gelu, relu, sigmoid, silu, softplus, tanh
from metaspec.nn.context_network import WithContext
from metaspec.nn.convnet import ConvNet, omniglot_convnet
from metaspec.nn.convolution import conv2d
from metaspec.nn.layers import batch_norm, dense
from metaspec.nn.losses import accuracy, log_softmax, mean_squared_error, softmax_cross_entropy
from metaspec.nn.mlp import MLP, sinusoid_mlp
from metaspec.nn.pooling import avg_pool2d, max_pool2d
from metaspec.nn.prototypes import prototype_head

__all__ = [
    "MLP",
    "ConvNet",
    "WithContext",
    "accuracy",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "dense",
    "gelu",
    "log_softmax",
    "max_pool2d",
    "mean_squared_error",
    "omniglot_convnet",
    "prototype_head",
    "relu",
    "sigmoid",
    "silu",
    "sinusoid_mlp",
    "softmax_cross_entropy",
    "softplus",
    "tanh",
]

tell_nearest(__name__)
