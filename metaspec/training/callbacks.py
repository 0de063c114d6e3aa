"""Callbacks of a training: functions of the Progress, with `start`, `evaluated` and `end` where they have them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from metaspec.errors import InvalidTypeError
from metaspec.training.run import Run

Callbacks = Sequence[Callable[[Any], Any]]


def check_callbacks(callbacks: Any) -> None:
    """Raise InvalidTypeError unless `callbacks` is a sequence of functions."""
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise InvalidTypeError(
            f"meta_train: callbacks must be a list of functions (or JsonLines, TensorBoard ...), got {callbacks!r}"
        )


def tell(callbacks: Callbacks, event: str, what: Any) -> None:
    """Call the method named `event` of every callback that has it."""
    for callback in callbacks:
        getattr(callback, event, lambda _: None)(what)


@contextmanager
def listening(callbacks: Callbacks, run: Callable[[], Run]) -> Iterator[None]:
    """Call `start(run())` of every callback now, and `end(run())` of those that were started when the block ends."""
    started: list[Callable[[Any], Any]] = []
    try:
        for callback in callbacks:
            tell([callback], "start", run())
            started.append(callback)
        yield
    finally:
        tell(started, "end", run())
