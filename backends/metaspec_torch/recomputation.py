"""What a backward pass computes again of a module, computed as it was in the forward pass.

Activation checkpointing, and a user's own hooks on saved tensors, may run a part of the forward pass a second time when
derivatives are taken. A module then has its own parameters again, and not those that were put in it for the evaluation
of the loss. So the hooks that unpack saved tensors are called in the context in which they were set.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from torch.autograd.graph import saved_tensors_hooks

Context = Callable[[], AbstractContextManager[Any]]
_NOTED: ContextVar[Callable[[], Context] | None] = ContextVar("metaspec_torch_recomputation", default=None)
_LOCK = Lock()
_inside = 0
_enter = saved_tensors_hooks.__enter__


@contextmanager
def recomputed_in(noted: Callable[[], Context]) -> Iterator[None]:
    """Within it, `saved_tensors_hooks` (those of `torch.utils.checkpoint` too) unpack in a context.

    Args:
        noted: Called where hooks are set; returns what makes the context of each unpacking.
    """
    global _inside
    with _LOCK:
        _inside += 1
        saved_tensors_hooks.__enter__ = _entered
    token = _NOTED.set(noted)
    try:
        yield
    finally:
        _NOTED.reset(token)
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                saved_tensors_hooks.__enter__ = _enter


def _entered(hooks: saved_tensors_hooks) -> None:
    noted, unpack = _NOTED.get(), hooks.unpack_hook
    if noted is not None:
        hooks.unpack_hook = _within(noted(), unpack)
    try:
        _enter(hooks)
    finally:
        hooks.unpack_hook = unpack


def _within(context: Context, unpack: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def unpacked(packed: Any) -> Any:
        with context():
            return unpack(packed)

    return unpacked
