"""The certification list's losses, each written once over the array API and known by name.

A loss is a mean over the examples on axis 0 of the batch's leaves, so that Reptile may join support and query;
`quadratic` alone has no examples.
"""

from collections.abc import Callable
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any

from metaspec import nn
from metaspec.backend.arrays import array_namespace
from metaspec.errors import InvalidArgumentError, nearest
from metaspec_conformance.judging.numpy_trees import leaves

Tree = Any
Array = Any


def least_squares(params: Tree, batch: Tree) -> Array:
    """mean_e (<x_e, params> - y_e)^2 / 2: a quadratic whose Hessian couples all leaves."""
    xp = array_namespace(params)
    n = batch["y"].shape[0]
    features, weights = leaves(batch["x"]), leaves(params)
    pairs = zip(features, weights, strict=True)
    predicted = reduce(
        add, [xp.matmul(xp.reshape(x, (n, -1)), xp.reshape(w, (-1,))) for x, w in pairs if 0 not in w.shape]
    )
    return 0.5 * xp.mean((predicted - batch["y"]) ** 2)


def quadratic(params: Tree, batch: Tree) -> Array:
    """V.Hv / 2 - c.v, v all leaves as one vector."""
    xp = array_namespace(params)
    v = xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves(params)])
    return 0.5 * xp.sum(v * xp.matmul(batch["H"], v)) - xp.sum(batch["c"] * v)


def linear(params: Tree, batch: Tree) -> Array:
    """mean_e <c_e, params>: gradients are constant and Hessians exactly zero."""
    xp = array_namespace(params)
    pairs = zip(leaves(batch), leaves(params), strict=True)
    return reduce(add, [xp.sum(xp.mean(c, axis=0) * w) for c, w in pairs])


def tanh_network(params: Tree, batch: Tree) -> Array:
    """Mean squared error of a network with tanh layers and a linear last one."""
    xp = array_namespace(params)
    *hidden, last = params["layers"]
    x = batch["x"]
    for layer in hidden:
        x = xp.tanh(xp.matmul(x, layer["w"]) + layer["b"])
    return xp.mean((xp.matmul(x, last["w"]) + last["b"] - batch["y"]) ** 2)


def logistic(params: Tree, batch: Tree) -> Array:
    """Logistic regression with labels 0 and 1 as integers; the bias is a scalar leaf."""
    xp = array_namespace(params)
    z = xp.matmul(batch["x"], params["w"]) + params["b"]
    return xp.mean(xp.logaddexp(z, xp.zeros_like(z)) - xp.astype(batch["y"], z.dtype) * z)


def softmax(params: Tree, batch: Tree) -> Array:
    """Softmax cross-entropy of a linear classifier, classes as integers."""
    xp = array_namespace(params)
    z = xp.matmul(batch["x"], params["w"]) + params["b"]
    z = z - xp.max(z, axis=1, keepdims=True)
    classes = xp.astype(xp.cumulative_sum(xp.ones_like(params["b"])), batch["y"].dtype) - 1
    chosen = xp.astype(batch["y"][:, None] == classes[None, :], z.dtype)
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(chosen * z, axis=1))


def pooled_conv_net(params: Tree, batch: Tree) -> Array:
    """Softmax cross-entropy of (3 x 3 convolution, max-pooling, tanh) twice, a mean over pixels, an affine read-out.

    The maximum's derivative is a choice between entries, which a compiler that computes them anew can make wrongly.
    """
    x = batch["x"]
    for kernel in params["kernels"]:
        x = nn.tanh(nn.max_pool2d(nn.conv2d(x, kernel)))
    pixels = array_namespace(params).mean(x, axis=(1, 2))
    return nn.softmax_cross_entropy(nn.dense(pixels, params["w"], params["b"]), batch["y"])


Loss = Callable[[Tree, Tree], Array]

LOSSES: MappingProxyType[str, Loss] = MappingProxyType(
    {f.__name__: f for f in (least_squares, quadratic, linear, tanh_network, logistic, softmax, pooled_conv_net)}
)


def loss_of(loss: str | Loss) -> Loss:
    """The function: a name's in `LOSSES`, else what was given (frozen data with `__call__`).

    Raises:
        InvalidArgumentError: No loss has that name.
    """
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise InvalidArgumentError(
            f"loss: {loss!r} is not one of {', '.join(LOSSES)}{nearest(loss, LOSSES)}; or give a function of your own"
        )
    return LOSSES[loss]
