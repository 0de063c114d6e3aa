"""The next batches made on a thread while the backend computes on this one."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import chain, count
from typing import Any, TypeVar

from metaspec.data.source import ManyBatches, TaskSource
from metaspec.task import Task

T = TypeVar("T")
BLOCK = 32  # batches of a source that makes many at once; what a block costs beside its tasks is then a few per cent


@contextmanager
def upcoming(source: TaskSource, first: int, size: int, ahead: int) -> Iterator[Iterator[Task]]:
    """Yield an iterator over the source's batches first, first + 1, ..., `ahead` of them made on a thread.

    Args:
        source: Asked for `batches` where it has them, else for one `batch` after the other.
        first: The first step's number.
        size: Tasks of a batch.
        ahead: As in `prefetched`.
    """
    if not isinstance(source, ManyBatches):
        with prefetched(lambda step: source.batch(step, size), first, ahead) as batches:
            yield batches
        return
    many = source.batches
    with prefetched(lambda block: many(first + BLOCK * block, BLOCK, size), 0, ahead) as blocks:
        yield chain.from_iterable(blocks)


@contextmanager
def prefetched(make: Callable[[int], T], first: int, ahead: int) -> Iterator[Iterator[T]]:
    """Yield an iterator over make(first), make(first + 1), ..., up to `ahead` of them made in advance.

    What `make` raises is raised where its result would have come. When the block ends, in whatever way, the thread has
    ended. With ahead=0 there is none.

    Args:
        make: A pure function of the number; it runs in a copy of the caller's context.
        first: The first number.
        ahead: How many are made ahead, >= 0.
    """
    if ahead == 0:
        yield (make(number) for number in count(first))
        return
    context, numbers, at_exit = copy_context(), count(first), sys.is_finalizing
    thread = ThreadPoolExecutor(1, thread_name_prefix="metaspec-prefetch")
    pending: deque[Future[Any]] = deque()

    def results() -> Iterator[T]:
        while True:
            while len(pending) <= ahead:
                pending.append(thread.submit(context.run, make, next(numbers)))
            yield pending.popleft().result()

    try:
        yield results()
    finally:
        if not at_exit():  # else the thread has ended, and half of the modules are gone
            thread.shutdown(wait=True, cancel_futures=True)
