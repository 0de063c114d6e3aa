"""Loops over a backend: written out step by step, or as one `scan` where a compiler would suffer from the copies."""

from collections.abc import Callable
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.tuning import LoopKind
from metaspec.task import Tree


def is_unrolled(B: Backend, steps: int, loop: LoopKind) -> bool:
    """Return whether a loop of that many steps is written out, by the backend's `Tuning.unroll_limit`."""
    limit = B.tuning.unroll_limit(loop)
    return limit is None or steps <= limit


def repeat(
    B: Backend,
    f: Callable[[Tree], Tree],
    x: Tree,
    steps: int,
    unfinished: Callable[[Tree], Any] = lambda x: None,
    loop: LoopKind = "state",
) -> Tree:
    """Return f(...f(x)), f applied `steps` times.

    Args:
        B: The backend.
        f: The step, a function from trees to trees of one structure.
        x: The state at the start.
        steps: Number of applications, >= 0.
        unfinished: State -> a boolean scalar array, or None. Once it is False the remaining steps are left out where
            its value can be looked at. Under a trace all are taken, so f must leave such a state as it is.
        loop: What the loop keeps of each step, see `Tuning.unroll_limit`.
    """
    if not is_unrolled(B, steps, loop):
        return B.scan(lambda x, _: (f(x), None), x, None, length=steps)[0]
    for _ in range(steps):
        flag = unfinished(x)
        if flag is not None and B.is_concrete(flag) and not bool(flag):
            break
        x = f(x)
    return x
