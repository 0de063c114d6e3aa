"""What a drawn scenario is made by: a sequence of choices, each among finitely many options, the simplest first.

Whoever chooses may be a random generator, a recorded list of positions, or Hypothesis; what is made of the choices is
written once.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Choose(Protocol):
    """One of the options; the first is the simplest."""

    def __call__(self, options: Sequence[T], /) -> T: ...


class Recorder:
    """Chooses by `position(n) -> 0 .. n - 1` and remembers the positions.

    Attributes:
        positions: One for each choice so far.
    """

    def __init__(self, position: Callable[[int], int]) -> None:
        self._position = position
        self.positions: list[int] = []

    def __call__(self, options: Sequence[T], /) -> T:
        """One of the options."""
        i = self._position(len(options))
        self.positions.append(i)
        return options[i]


def at_random(*seed: int) -> Recorder:
    """Every option with the same probability; the same seed gives the same choices on every platform."""
    rng = np.random.default_rng(seed)
    return Recorder(lambda n: int(rng.integers(n)))


def replay(positions: Sequence[int]) -> Recorder:
    """The recorded positions; one that is missing is 0, one beyond the options is the last."""
    remaining = iter(positions)
    return Recorder(lambda n: min(next(remaining, 0), n - 1))
