"""Arguments of compiled functions that are no arrays: constants of the trace, and never those of another call."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import metaspec as ms


class Settings:
    """Says nothing of what is in it."""

    def __init__(self, rate):
        self.rate = rate

    def __repr__(self):
        return "Settings()"


@dataclass
class Changing:
    rate: float


@pytest.fixture
def scaled(B):
    """c -> the first entry of 2 c, compiled with c a constant."""
    x = ms.asarray(np.full(3, 2.0, "float32"), backend=B)
    compiled = ms.compile(lambda c, x: x * (c(1.0) if callable(c) else getattr(c, "rate", c)))
    return lambda c: float(B.to_numpy(compiled(c, x))[0])


MAKERS = {"object": Settings, "dataclass": Changing, "function": lambda rate: lambda x: x * rate}


@pytest.mark.parametrize("kind", MAKERS)
def test_each_object_has_its_own(scaled, kind):
    assert [scaled(MAKERS[kind](rate)) for rate in (1.0, 2.0, 3.0, 1.0)] == [2.0, 4.0, 6.0, 2.0]


def test_a_change_inside_of_an_object_is_seen(scaled):
    settings = Settings(1.0)
    assert scaled(settings) == 2.0
    settings.rate = 5.0
    assert scaled(settings) == 10.0


def test_numbers_that_are_equal_and_not_the_same(scaled):
    assert [math.copysign(1.0, scaled(zero)) for zero in (0.0, -0.0)] == [1.0, -1.0]
    assert [scaled(c) for c in (1, True, 1.0)] == [2.0, 2.0, 2.0]
