"""What activation checkpointing computes again in a backward pass, computed as it was in the forward pass.

`torch.utils.checkpoint` calls its function a second time when derivatives are taken. A module then has its own
parameters again, and not those that were put in it for the evaluation of the loss.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import Any

from metaspec_torch._private import CHECKPOINT, checkpointing

Context = Callable[[], AbstractContextManager[Any]]
_NOTED: ContextVar[Callable[[], Context] | None] = ContextVar("metaspec_torch_recomputation", default=None)
_LOCK = Lock()
_inside = 0
_original = getattr(checkpointing, CHECKPOINT)


@contextmanager
def recomputed_in(noted: Callable[[], Context]) -> Iterator[None]:
    """Within it, functions given to `torch.utils.checkpoint` (use_reentrant=False) are called again in a context.

    Args:
        noted: Called where a checkpoint begins; returns what makes the context of its second evaluation.
    """
    global _inside
    with _LOCK:
        _inside += 1
        setattr(checkpointing, CHECKPOINT, _begun)
    token = _NOTED.set(noted)
    try:
        yield
    finally:
        _NOTED.reset(token)
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                setattr(checkpointing, CHECKPOINT, _original)


def _begun(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    noted = _NOTED.get()
    return _original(function if noted is None else _within(noted(), function), *args, **kwargs)


def _within(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function, updated=())
    def again(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return again
