"""Second derivatives of Keras's normalisation layers.

Batch, group and layer normalisation take mean and variance from `tf.nn.moments`, whose variance is
mean((x - stop_gradient(mean(x)))^2): its first derivatives are right (the share of the mean is zero), its second ones
lack the term -2/n^2 of each pair of elements.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

import tensorflow as tf

from metaspec.task import Array

_active: ContextVar[bool] = ContextVar("metaspec_tensorflow_moments", default=False)
_lock = Lock()
_users = 0
_original = tf.nn.moments


def moments(
    x: Any, axes: int | Sequence[int], shift: Any = None, keepdims: bool = False, name: str | None = None
) -> tuple[Array, Array]:
    """`tf.nn.moments`; within `differentiable_moments` with derivatives of every order."""
    if not _active.get():
        mean, variance = _original(x, axes, shift, keepdims, name)
        return mean, variance
    x = tf.convert_to_tensor(x)
    y = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x  # as TensorFlow does
    mean = tf.reduce_mean(y, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(y, mean), axes, keepdims=True)
    if not keepdims:
        mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
    return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)


@contextmanager
def differentiable_moments() -> Iterator[None]:
    """Give `tf.nn.moments` its second derivatives within a `with` block, for this thread or asyncio task alone.

    Keras looks the function up by this name at each call. Others that call it meanwhile get TensorFlow's own.
    """
    global _users
    with _lock:
        _users += 1
        tf.nn.moments = moments
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)
        with _lock:
            _users -= 1
            if _users == 0:
                tf.nn.moments = _original
