"""The next batches made on a thread while the backend computes on this one."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def prefetched(make: Callable[[int], T], first: int, ahead: int) -> Iterator[Iterator[T]]:
    """make(first), make(first + 1), ... in this order, up to `ahead` of them made before they are asked for.

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
    context, numbers = copy_context(), count(first)
    with ThreadPoolExecutor(1, thread_name_prefix="metaspec-prefetch") as thread:
        pending: deque[Future[Any]] = deque()

        def results() -> Iterator[T]:
            while True:
                while len(pending) <= ahead:
                    pending.append(thread.submit(context.run, make, next(numbers)))
                yield pending.popleft().result()

        try:
            yield results()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
