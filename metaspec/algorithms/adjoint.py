"""Reverse-mode differentiation of an iteration x_{k+1} = s(x_k), k = 0 .. K-1, with checkpointing.

The forward pass is cut into segments of n steps and keeps the point at which each segment starts. The backward pass
runs a segment forward again, keeps its steps' linearisations, pulls the cotangent back through them and drops them. The
last segment is linearised in the forward pass itself.

| `checkpoint` | n | kept at a time, beside x_0 and x_K | gradients beyond K |
| --- | --- | --- | --- |
| none | K | K linearisations | 0 |
| recompute | 1 | K - 1 points, 1 linearisation | K - 1 |
| sqrt | ceil(sqrt(K)), then 1 | about 2 sqrt(K) points, 1 linearisation | less than 2 K |

A linearisation holds the intermediate values of a gradient's computation: much more than a point for a convolutional
network, less for a wide one on few examples.

Under a compiler the segments are the steps of a `scan`. In straight code common-subexpression elimination would find
that the second forward run repeats the first, and keep the first's values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal

from metaspec.backend.loops import is_unrolled, repeat
from metaspec.backend.protocol import Backend
from metaspec.task import Tree

Checkpoint = Literal["none", "recompute", "sqrt"]
CHECKPOINTS: tuple[Checkpoint, ...] = ("none", "recompute", "sqrt")


@dataclass(frozen=True)
class Step:
    """One step s of the iteration, and its derivative.

    Attributes:
        advance: x -> s(x).
        linearize: x -> (s(x), what `pull_back` needs of the step at x).
        pull_back: (v, what `linearize` kept) -> v s'(x).
    """

    advance: Callable[[Tree], Tree]
    linearize: Callable[[Tree], tuple[Tree, Any]]
    pull_back: Callable[[Tree, Any], Tree]


Endpoint = Callable[[Tree], tuple[Tree, Any]]
"""x_K -> (cotangent of x_K, anything else that the caller wants to know of x_K)."""


def segments(checkpoint: Checkpoint, steps: int) -> tuple[int, ...]:
    """Return the length of a segment, then of the segments that each is cut into in turn; () keeps all."""
    root = isqrt(steps) + (isqrt(steps) ** 2 < steps)
    return {"none": (), "recompute": (1,), "sqrt": (max(1, root), 1)}[checkpoint]


def checkpointed_vjp(
    B: Backend, step: Step, x0: Tree, steps: int, endpoint: Endpoint, checkpoint: Checkpoint = "none"
) -> tuple[Tree, Any]:
    """Return the cotangent of x_0, and whatever else `endpoint` gave at x_K.

    Args:
        B: The backend.
        step: The step s.
        x0: Where the iteration starts.
        steps: The number of steps K, >= 0.
        endpoint: Gives the cotangent at x_K.
        checkpoint: What the forward pass keeps; see the table above.
    """
    return _vjp(B, step, x0, steps, endpoint, segments(checkpoint, steps))


def _vjp(B: Backend, step: Step, x: Tree, steps: int, endpoint: Endpoint, lengths: tuple[int, ...]) -> tuple[Tree, Any]:
    if not lengths:
        return _keeping_all(B, step, x, steps, endpoint)
    n, *inner = lengths
    count = max(0, steps - 1) // n
    last = steps - count * n
    if count == 0:
        return _vjp(B, step, x, steps, endpoint, tuple(inner))
    if B.tuning.unroll_limit() is None:
        starts = list[Tree]()
        for _ in range(count):
            starts.append(x)
            x = repeat(B, step.advance, x, n)
        v, known = _vjp(B, step, x, last, endpoint, tuple(inner))
        del x
        while starts:
            v = _segment_vjp(B, step, starts.pop(), n, v, tuple(inner))
        return v, known
    x, starts = B.scan(lambda x, _: (repeat(B, step.advance, x, n), x), x, None, length=count)
    v, known = _vjp(B, step, x, last, endpoint, tuple(inner))
    back = B.scan(lambda v, start: (_segment_vjp(B, step, start, n, v, tuple(inner)), None), v, starts, reverse=True)
    return back[0], known


def _segment_vjp(B: Backend, step: Step, start: Tree, steps: int, v: Tree, lengths: tuple[int, ...]) -> Tree:
    return _vjp(B, step, start, steps, lambda _: (v, None), lengths)[0]


def _keeping_all(B: Backend, step: Step, x: Tree, steps: int, endpoint: Endpoint) -> tuple[Tree, Any]:
    """Keep every step's linearisation where a loop can carry them, else the points alone."""
    if is_unrolled(B, steps, "path"):
        kept = list[Any]()
        for _ in range(steps):
            x, linearization = step.linearize(x)
            kept.append(linearization)
        v, known = endpoint(x)
        while kept:
            v = step.pull_back(v, kept.pop())
        return v, known
    if not B.tuning.products_are_trees:
        return _vjp(B, step, x, steps, endpoint, (1,))
    x, kept = B.scan(lambda x, _: step.linearize(x), x, None, length=steps)
    v, known = endpoint(x)
    return B.scan(lambda v, one: (step.pull_back(v, one), None), v, kept, reverse=True)[0], known
