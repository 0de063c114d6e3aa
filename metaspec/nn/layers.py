"""Affine maps and batch normalisation."""

from metaspec.errors import InvalidArgumentError
from metaspec.nn._backend import backend_of, check_rank
from metaspec.task import Array


def dense(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Affine map, x weight (+ bias).

    Args:
        x: [..., D].
        weight: [D, F].
        bias: [F].

    Returns:
        [..., F].

    Raises:
        InvalidArgumentError: Shapes that do not fit.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.dense(np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5]))
        array([[21.5]])
    """
    inputs, outputs = check_rank("dense: weight", weight, 2, "[D, F]")
    shape = tuple(x.shape)
    if not shape or shape[-1] != inputs:
        raise InvalidArgumentError(f"dense: weight takes {inputs} features, expected x [..., {inputs}], got {shape}")
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise InvalidArgumentError(f"dense: expected bias of shape ({outputs},), got {tuple(bias.shape)}")
    xp = backend_of(x).xp
    if len(shape) == 2:
        y = xp.matmul(x, weight)
    else:
        y = xp.reshape(xp.matmul(xp.reshape(x, (-1, inputs)), weight), (*shape[:-1], outputs))
    return y if bias is None else y + bias


def batch_norm(x: Array, scale: Array, shift: Array, *, eps: float = 1e-3) -> Array:
    """Batch normalisation, (x - mean) / sqrt(variance + eps) * scale + shift, by the statistics of the batch itself.

    Mean and (biased) variance run over all axes but the last. There are no running averages: the meta-learning papers
    normalise support and query set each by its own statistics, in training and at test ("transductive"), so adaptation
    has no state that it could alter.

    Args:
        x: [N, ..., C].
        scale: [C].
        shift: [C].
        eps: Added to the variance; 1e-3 is that of the MAML authors' code.

    Raises:
        InvalidArgumentError: Shapes that do not fit.

    Source: Ioffe, Szegedy, "Batch normalization", ICML 2015, algorithm 1.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> x = np.array([[0.0], [2.0]])
        >>> nn.batch_norm(x, np.array([1.0]), np.array([10.0]), eps=0.0)
        array([[ 9.],
               [11.]])
    """
    shape = tuple(x.shape)
    if len(shape) < 2:
        raise InvalidArgumentError(f"batch_norm: expected x [N, ..., C], got shape {shape}")
    for name, vector in (("scale", scale), ("shift", shift)):
        if tuple(vector.shape) != shape[-1:]:
            raise InvalidArgumentError(f"batch_norm: expected {name} of shape {shape[-1:]}, got {tuple(vector.shape)}")
    xp = backend_of(x).xp
    axes = tuple(range(len(shape) - 1))
    centred = x - xp.mean(x, axis=axes, keepdims=True)
    variance = xp.mean(centred * centred, axis=axes, keepdims=True)
    return centred * (scale / xp.sqrt(variance + eps)) + shift
