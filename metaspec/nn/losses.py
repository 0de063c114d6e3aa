"""Losses and accuracy. All are means over examples, so that duplicating the data changes nothing.

The MAML authors' code sums the cross-entropy over the support set and divides by the shots alone, which makes its
gradients `ways` times those of the mean: its inner rate of 0.4 (5-way) or 0.1 (20-way) is 2.0 here.
"""

from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.nn._backend import backend_of
from metaspec.task import Array


def mean_squared_error(prediction: Array, target: Array) -> Array:
    """Mean of (prediction - target)^2 over all entries.

    Raises:
        InvalidArgumentError: Unequal shapes ([N] against [N, 1] would broadcast to [N, N]).

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> float(nn.mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
        2.0
    """
    if tuple(prediction.shape) != tuple(target.shape):
        raise InvalidArgumentError(
            f"mean_squared_error: expected equal shapes, got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    xp = backend_of(prediction).xp
    difference = xp.subtract(prediction, target)  # by the namespace's rules where their formats differ
    return xp.mean(difference * difference)


def log_softmax(logits: Array) -> Array:
    """Logarithm of the softmax, logits - log sum exp(logits) along the last axis.

    The result and its derivatives of every order are finite for all finite logits.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.log_softmax(np.array([0.0, 0.0, 1000.0]))
        array([-1000., -1000.,     0.])
    """
    B = backend_of(logits)
    xp = B.xp
    # The shift cancels whatever it is, so it is a constant to the derivative, and the kinks of max do not enter.
    centred = logits - xp.max(B.stop_gradient(logits), axis=-1, keepdims=True)
    return centred - xp.log(xp.sum(xp.exp(centred), axis=-1, keepdims=True))


def softmax_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean over examples of -log softmax(logits)[label].

    Args:
        logits: [..., C].
        labels: Integers [...], each in 0 .. C - 1. Values cannot be looked at under a trace, so a label out of range
            raises nothing here: the loss and its gradient become NaN, which the functions of metaspec report as
            NonFiniteError.

    Raises:
        InvalidArgumentError: Shapes that do not fit.
        InvalidTypeError: Labels that are no integers.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> float(nn.softmax_cross_entropy(np.zeros((3, 4)), np.array([0, 1, 2])).round(6))  # log 4
        1.386294
    """
    xp = backend_of(logits).xp
    labels = _labels(logits, labels, "softmax_cross_entropy")
    ones = xp.ones_like(logits)
    # 0, 1 .. C - 1 in every row: counted rather than made by `arange`, which would have to be told the device.
    classes = xp.cumulative_sum(xp.astype(ones, labels.dtype), axis=-1, dtype=labels.dtype) - 1
    chosen = xp.equal(xp.expand_dims(labels, axis=-1), classes)
    valid = xp.any(chosen, axis=-1, keepdims=True)
    others = xp.logical_and(valid, xp.logical_not(chosen))
    picked = xp.where(others, 0.0, log_softmax(logits) * xp.where(valid, ones, float("nan")))
    return -xp.mean(xp.sum(picked, axis=-1))


def accuracy(logits: Array, labels: Array) -> Array:
    """Share of examples whose largest logit (the first of equals) is at the label; of the dtype of the logits.

    Arguments and errors as for `softmax_cross_entropy`; a label out of range counts as wrong.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> logits = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
        >>> float(nn.accuracy(logits, np.array([0, 1, 1, 1])))
        0.75
    """
    xp = backend_of(logits).xp
    labels = _labels(logits, labels, "accuracy")
    guess = xp.astype(xp.argmax(logits, axis=-1), labels.dtype)
    return xp.mean(xp.astype(xp.equal(guess, labels), logits.dtype))


def _labels(logits: Array, labels: Array, name: str) -> Array:
    B = backend_of(logits)
    if not hasattr(labels, "dtype") or not B.xp.isdtype(labels.dtype, "integral"):
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise InvalidTypeError(f"{name}: expected integer labels 0 .. C - 1, got {kind}")
    if tuple(labels.shape) != tuple(logits.shape)[:-1] or not len(logits.shape):
        raise InvalidArgumentError(
            f"{name}: expected logits [..., C] and labels [...], got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    return labels
