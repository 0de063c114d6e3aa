"""A simpler choice of what fails: shorter sequences of smaller positions, found greedily.

Positions are of `choices.Recorder`: 0 is the simplest option, and what is missing is 0. So a sequence gets simpler by
losing its end, by losing choices in between (what follows then answers other questions), and by lowering a position.
"""

from collections.abc import Callable, Iterator, Sequence

Positions = tuple[int, ...]


def shrink(positions: Sequence[int], fails: Callable[[Positions], bool], budget: int = 100) -> Positions:
    """The simplest sequence found that still fails.

    Args:
        positions: A sequence that fails.
        fails: Whether another one does; it is not asked about the same one twice.
        budget: How often it may be asked.
    """
    best = _trimmed(positions)
    asked = {best}
    progress = True
    while progress:
        progress = False
        for candidate in _simpler(best):
            if candidate in asked:
                continue
            if len(asked) > budget:
                return best
            asked.add(candidate)
            if fails(candidate):
                best, progress = candidate, True
                break
    return best


def _simpler(positions: Positions) -> Iterator[Positions]:
    n = len(positions)
    cut = n // 2
    while cut:
        yield _trimmed(positions[: n - cut])
        cut //= 2
    for i in range(n):
        if positions[i]:
            yield _trimmed((*positions[:i], 0, *positions[i + 1 :]))
    for i in range(n):
        yield _trimmed((*positions[:i], *positions[i + 1 :]))
    for i in range(n):
        for smaller in {positions[i] // 2, positions[i] - 1} - {0, -1}:
            yield _trimmed((*positions[:i], smaller, *positions[i + 1 :]))


def _trimmed(positions: Sequence[int]) -> Positions:
    """Without the zeros at the end, which are there anyway."""
    found = list(positions)
    while found and not found[-1]:
        found.pop()
    return tuple(found)
