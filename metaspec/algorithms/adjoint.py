"""A walk along a path and back: x_K = s(...s(x_0)), and a cotangent pulled back through every step.

The path is cut into stretches of n steps. The way there keeps the point at which each stretch starts; the way back
walks a stretch again, keeps what its steps' derivatives need, pulls back through them and lets go of it. The last
stretch needs no second walk: there the walk turns.

| `checkpoint` | n | kept at a time, beside the path's ends | gradients beyond K |
| --- | --- | --- | --- |
| none | K | K linearisations | 0 |
| recompute | 1 | K - 1 points, 1 linearisation | K - 1 |
| sqrt | ceil(sqrt(K)), then 1 | about 2 sqrt(K) points, 1 linearisation | less than 2 K |

A linearisation holds what a gradient computes on its way: of a convolutional network much more than a point, of a wide
one for few examples less.

Under a compiler stretches are the steps of a loop. In straight code it would find that the second walk computes what
the first did, and keep that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal

from metaspec.backend.protocol import Backend
from metaspec.backend.tuning import LoopKind
from metaspec.task import Tree

Checkpoint = Literal["none", "recompute", "sqrt"]
CHECKPOINTS: tuple[Checkpoint, ...] = ("none", "recompute", "sqrt")


@dataclass(frozen=True)
class Link:
    """One step of the path.

    Attributes:
        advance: x -> s(x).
        linearize: x -> (s(x), a function that `pull` takes).
        pull: (v, that function) -> v s'(x).
    """

    advance: Callable[[Tree], Tree]
    linearize: Callable[[Tree], tuple[Tree, Any]]
    pull: Callable[[Tree, Any], Tree]


Turn = Callable[[Tree], tuple[Tree, Any]]
"""x_K -> (cotangent of x_K, whatever else is to be known of x_K)."""


def stretches(checkpoint: Checkpoint, steps: int) -> tuple[int, ...]:
    """Steps of a stretch, then of the stretches that each is cut into in turn; in the last ones all is kept."""
    root = isqrt(steps) + (isqrt(steps) ** 2 < steps)
    return {"none": (), "recompute": (1,), "sqrt": (max(1, root), 1)}[checkpoint]


def there_and_back(
    B: Backend, link: Link, x: Tree, steps: int, turn: Turn, checkpoint: Checkpoint = "none"
) -> tuple[Tree, Any]:
    """The cotangent at x_0, and what else `turn` gave at x_K."""
    return _walk(B, link, x, steps, turn, stretches(checkpoint, steps))


def repeat(
    B: Backend,
    f: Callable[[Tree], Tree],
    x: Tree,
    times: int,
    going: Callable[[Tree], Any] = lambda x: None,
    loop: LoopKind = "state",
) -> Tree:
    """f(...f(x)); a loop where so many copies of f would burden a compiler.

    Steps after `going(x)` is false are left out where its value shows; elsewhere f itself must then leave x as it is.
    """
    if not _written_out(B, times, loop):
        return B.scan(lambda x, _: (f(x), None), x, None, length=times)[0]
    for _ in range(times):
        flag = going(x)
        if flag is not None and B.is_concrete(flag) and not bool(flag):
            break
        x = f(x)
    return x


def _written_out(B: Backend, times: int, loop: LoopKind) -> bool:
    limit = B.tuning.unroll_limit(loop)
    return limit is None or times <= limit


def _walk(B: Backend, link: Link, x: Tree, steps: int, turn: Turn, lengths: tuple[int, ...]) -> tuple[Tree, Any]:
    if not lengths:
        return _kept(B, link, x, steps, turn)
    n, *inner = lengths
    count = max(0, steps - 1) // n
    last = steps - count * n
    if count == 0:
        return _walk(B, link, x, steps, turn, tuple(inner))
    if B.tuning.unroll_limit() is None:
        starts = list[Tree]()
        for _ in range(count):
            starts.append(x)
            x = repeat(B, link.advance, x, n)
        v, known = _walk(B, link, x, last, turn, tuple(inner))
        del x
        while starts:
            v = _again(B, link, starts.pop(), n, v, tuple(inner))
        return v, known
    x, starts = B.scan(lambda x, _: (repeat(B, link.advance, x, n), x), x, None, length=count)
    v, known = _walk(B, link, x, last, turn, tuple(inner))
    back = B.scan(lambda v, start: (_again(B, link, start, n, v, tuple(inner)), None), v, starts, reverse=True)
    return back[0], known


def _again(B: Backend, link: Link, start: Tree, steps: int, v: Tree, lengths: tuple[int, ...]) -> Tree:
    return _walk(B, link, start, steps, lambda _: (v, None), lengths)[0]


def _kept(B: Backend, link: Link, x: Tree, steps: int, turn: Turn) -> tuple[Tree, Any]:
    """Every step's linearisation is kept, where a loop can carry them; else the points of the path are."""
    if _written_out(B, steps, "path"):
        products = list[Any]()
        for _ in range(steps):
            x, product = link.linearize(x)
            products.append(product)
        v, known = turn(x)
        while products:
            v = link.pull(v, products.pop())
        return v, known
    if not B.tuning.products_are_trees:
        return _walk(B, link, x, steps, turn, (1,))
    x, products = B.scan(lambda x, _: link.linearize(x), x, None, length=steps)
    v, known = turn(x)
    return B.scan(lambda v, product: (link.pull(v, product), None), v, products, reverse=True)[0], known
