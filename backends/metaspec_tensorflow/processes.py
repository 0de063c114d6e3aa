"""Workers of a tf.distribute.MultiWorkerMirroredStrategy: those of the strategy in whose scope the call is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError
from metaspec.task import Array


def process() -> tuple[int, int]:
    """Return index and number of the workers.

    Raises:
        InvalidArgumentError: A worker has several replicas.
    """
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    workers = sum(len(tasks) for tasks in resolver.cluster_spec().as_dict().values()) or 1
    if strategy.num_replicas_in_sync != workers:
        raise InvalidArgumentError(
            f"tf.distribute: {workers} workers have {strategy.num_replicas_in_sync} replicas; start one worker for "
            "each device, with CUDA_VISIBLE_DEVICES"
        )
    chief = "chief" in resolver.cluster_spec().as_dict()
    return (resolver.task_id or 0) + (chief and resolver.task_type != "chief"), workers


def sum_vector(x: Array) -> Array:
    """Return the sum of x over all workers."""
    return _summing(tf.distribute.get_strategy())(x)


@cache
def _summing(strategy: Any) -> Any:
    def total(x: Array) -> Array:
        with tf.device(strategy.extended.worker_devices[0]):  # of a symbolic tensor it does not know one
            x = tf.identity(x)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)

    return tf.function(lambda x: strategy.run(total, (x,)), reduce_retracing=True)


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """Join the workers that TF_CONFIG names."""
    if tf.distribute.has_strategy() or not os.environ.get("TF_CONFIG"):
        yield
        return
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        yield
