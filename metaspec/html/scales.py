"""From figures to places: round ticks on linear and logarithmic axes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metaspec.html.tables import figure


@dataclass(frozen=True)
class Scale:
    """Linear or logarithmic scale: a range of figures on a range of the picture's coordinates.

    Attributes:
        low: The figure at `start`.
        high: The figure at `end`.
        start: A coordinate of the picture.
        end: Another.
        log: Whether equal ratios are equal distances.
        ticks: Round figures within the range.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[float, ...]

    def __call__(self, x: float) -> float:
        """The coordinate of a figure."""
        low, high, x = (math.log10(v) for v in (self.low, self.high, x)) if self.log else (self.low, self.high, x)
        return round(self.start + (x - low) / (high - low) * (self.end - self.start), 2)

    def shows(self, x: float) -> bool:
        """Whether a figure has a place on it."""
        return math.isfinite(x) and (x > 0 or not self.log)

    def labels(self) -> tuple[str, ...]:
        """The ticks as text."""
        return tuple(_power(tick) if self.log and not 1e-3 <= tick < 1e4 else figure(tick, 6) for tick in self.ticks)


def scale(figures: Iterable[float], start: float, end: float, log: bool = False) -> Scale:
    """The scale on which all of these figures have a place, its ends a little beyond them or on a tick."""
    shown = [x for x in figures if math.isfinite(x) and (x > 0 or not log)]
    low, high = (min(shown), max(shown)) if shown else (1.0, 10.0) if log else (0.0, 1.0)
    if log:
        ticks = _decades(low, high)
        return Scale(ticks[0], ticks[-1], start, end, True, ticks)
    if high == low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    whole = all(float(x).is_integer() for x in shown)
    step = max(1.0, _round((high - low) / 5, (1, 2, 5, 10))) if whole else _round((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = _multiples(step, range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, False, ticks)


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten around the two; with 2 and 5 times these where they are few, every other where they are many."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    if last - first > 2:
        every = math.ceil((last - first) / 6)
        return tuple(10.0**e for e in range(first, last + every, every))
    ticks = [float(f"{m}e{e}") for e in range(first, last) for m in (1, 2, 5)] + [10.0**last]
    below, above = [t for t in ticks if t <= low * (1 + 1e-9)], [t for t in ticks if t >= high * (1 - 1e-9)]
    start, end = ticks.index(below[-1]), ticks.index(above[0])
    return tuple(ticks[start : max(end, start + 1) + 1])


def _round(x: float, factors: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """The next of these factors times a power of ten."""
    power = 10.0 ** math.floor(math.log10(x))
    return next(m * power for m in factors if m * power >= x * (1 - 1e-9))


def _power(x: float) -> str:
    """A figure m 10^e, m of one digit, the exponent raised."""
    m, _, e = f"{x:.0e}".partition("e")
    raised = str(int(e)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if m == "1" else f"{m}·10{raised}"


def _multiples(step: float, factors: Sequence[int]) -> tuple[float, ...]:
    return tuple(float(f"{k * step:.12g}") for k in factors)
