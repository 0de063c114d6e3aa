"""Learning rates that change: functions of the outer step's number k = 0, 1, ... Any such function will do as `lr`.

They run in Python, outside of every compiled step, so that they may look at k, and give the same bits on every backend.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from metaspec.checks.arguments import NOT_NEGATIVE, checked_integer, checked_number, settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """Constant rate: value, at every step.

    Example:
        >>> from metaspec import training
        >>> training.Constant(0.1)(1000)
        0.1
    """

    value: float

    def __post_init__(self) -> None:
        settle(self, value=NOT_NEGATIVE)

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """Linear schedule: start + (end - start) min(k / steps, 1).

    Example:
        >>> from metaspec import training
        >>> [training.Linear(1.0, 0.0, 4)(k) for k in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        settle(self, start=NOT_NEGATIVE, end=NOT_NEGATIVE, steps=1)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class Cosine:
    """Cosine schedule: end + (start - end) (1 + cos(pi min(k / steps, 1))) / 2.

    Source: Loshchilov, Hutter 2017, without restarts.

    Example:
        >>> from metaspec import training
        >>> training.Cosine(1.0, 10)(5)
        0.5
    """

    start: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        settle(self, start=NOT_NEGATIVE, end=NOT_NEGATIVE, steps=1)

    def __call__(self, step: int) -> float:
        part = (1.0 + math.cos(math.pi * min(step / self.steps, 1.0))) / 2.0
        return self.end + (self.start - self.end) * part


@dataclass(frozen=True)
class WarmUp:
    """Linear warm-up: then(0) (k + 1) / (steps + 1) for k < steps, after that then(k - steps).

    Example:
        >>> from metaspec import training
        >>> [training.WarmUp(3, 0.4)(k) for k in (0, 1, 2, 3, 4)]
        [0.1, 0.2, 0.30000000000000004, 0.4, 0.4]
    """

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        settle(self, steps=1)
        schedule_of(self.then, "WarmUp: then")

    def __call__(self, step: int) -> float:
        then = schedule_of(self.then, "WarmUp: then")
        return then(0) * ((step + 1) / (self.steps + 1)) if step < self.steps else then(step - self.steps)


@dataclass(frozen=True)
class Piecewise:
    """Piecewise constant schedule: values[i] for boundaries[i - 1] <= k < boundaries[i].

    Example:
        >>> from metaspec import training
        >>> [training.Piecewise((10, 20), (1.0, 0.1, 0.01))(k) for k in (9, 10, 20)]
        [1.0, 0.1, 0.01]
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, example in (("boundaries", "(10, 20)"), ("values", "(1.0, 0.1, 0.01)")):
            if not isinstance(given := getattr(self, name), Sequence) or isinstance(given, str):
                raise InvalidTypeError(f"Piecewise: {name} must be a sequence such as {example}, got {given!r}")
        boundaries = tuple(checked_integer(b, "Piecewise: boundaries", least=1) for b in self.boundaries)
        values = tuple(checked_number(v, "Piecewise: values", *NOT_NEGATIVE) for v in self.values)
        if len(values) != len(boundaries) + 1:
            raise InvalidArgumentError(
                f"Piecewise: values must be one more than boundaries, got {len(values)} and {len(boundaries)}"
            )
        if any(a >= b for a, b in pairwise(boundaries)):
            raise InvalidArgumentError(f"Piecewise: boundaries must increase, got {boundaries}")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "values", values)

    def __call__(self, step: int) -> float:
        return self.values[sum(step >= boundary for boundary in self.boundaries)]


def schedule_of(lr: float | Schedule, argument: str) -> Schedule:
    """Return `lr` as a function of the step, whose rates are finite and >= 0.

    Raises:
        InvalidArgumentError: A number that is not; for a function, when it gives one that is not.
    """
    if not callable(lr):
        return Constant(checked_number(lr, argument, *NOT_NEGATIVE))
    return lambda step: checked_number(lr(step), f"{argument} at step {step}", *NOT_NEGATIVE)
