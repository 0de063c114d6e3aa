"""Workers of a tf.distribute.MultiWorkerMirroredStrategy: those of the strategy in whose scope the call is."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError, RankError
from metaspec.ranks.watch import GO_ON
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


def await_workers(cluster: dict[str, list[str]], kind: str, index: int, timeout: float) -> None:
    """Wait until every other worker listens at its address, as this one does at its own until TensorFlow does.

    Raises:
        RankError: One does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        with suppress(OSError):  # TensorFlow says why it cannot listen there
            stack.enter_context(socket.create_server(("", _host_and_port(cluster[kind][index])[1]), backlog=4096))
        for of_kind, addresses in cluster.items():
            for number, address in enumerate(addresses):
                while (of_kind, number) != (kind, index) and not _listens(address):
                    if time.monotonic() > deadline:
                        raise RankError(
                            f"TF_CONFIG: {kind} {index} has waited {timeout:.0f} s for {of_kind} {number}, and nothing "
                            f"listens at {address}: start it, with this cluster and a task of its own, or let TCP "
                            f"through. {GO_ON}"
                        )
                    time.sleep(0.1)


def _listens(address: str) -> bool:
    with suppress(OSError), socket.create_connection(_host_and_port(address), timeout=1):
        return True
    return False


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """Join the workers that TF_CONFIG names.

    Raises:
        RankError: One of them cannot be reached within `timeout` seconds; TensorFlow itself would wait for it.
    """
    if tf.distribute.has_strategy() or not os.environ.get("TF_CONFIG"):
        yield
        return
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster = resolver.cluster_spec().as_dict()
    if resolver.task_type in cluster:
        await_workers(cluster, resolver.task_type, resolver.task_id, timeout)
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        yield
