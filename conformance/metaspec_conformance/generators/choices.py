"""Choices that make a scenario: each among finitely many options, the simplest first.

Hypothesis chooses in `metaspec_conformance.strategies`, a random generator in soaks; what is made of the choices is
written once, in this package.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Choose(Protocol):
    """Function that returns one of the options; the first is the simplest."""

    def __call__(self, options: Sequence[T], /) -> T: ...


def at_random(*seed: int) -> Choose:
    """Choose every option with the same probability; the same seed gives the same choices on every platform."""
    rng = np.random.default_rng(seed)

    def choose(options: Sequence[T], /) -> T:
        return options[int(rng.integers(len(options)))]

    return choose
