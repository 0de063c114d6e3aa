"""Whether samples are what a distribution gives: each says what is wrong, "" if nothing is.

Limits are five standard deviations, or a probability of 1e-6; samples come from fixed seeds, so none is left to chance.
"""

from math import erf, sqrt
from typing import Any

import numpy as np

SIGMAS = 5.0
KOLMOGOROV = 2.69  # sqrt(n) D exceeds this with probability 2 exp(-2 * 2.69^2) = 1e-6


def unlike_uniform(values: Any, low: float, high: float) -> str:
    """Kolmogorov and Smirnov's distance to the uniform distribution on [low, high]."""
    u = (np.sort(np.ravel(values)) - low) / (high - low)
    n = len(u)
    if u[0] < 0 or u[-1] > 1:
        return f"values between {np.min(values):.3g} and {np.max(values):.3g}, expected [{low:.3g}, {high:.3g}]"
    steps = np.arange(n + 1) / n
    distance = float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])) * np.sqrt(n))
    return "" if distance < KOLMOGOROV else f"sqrt(n) D = {distance:.2f}, expected less than {KOLMOGOROV}"


def unlike_normal(values: Any) -> str:
    """Kolmogorov and Smirnov's distance to the standard normal distribution; empty where it is small."""
    u = [(1 + erf(value / sqrt(2))) / 2 for value in np.ravel(values)]
    return unlike_uniform(u, 0.0, 1.0)


def uneven(values: Any, count: int) -> str:
    """Pearson's chi-square of integers that should be 0 ... count - 1 equally often."""
    found = np.bincount(values, minlength=count)
    if len(found) > count:
        return f"values up to {len(found) - 1}, expected less than {count}"
    mean, freedom = len(values) / count, count - 1
    statistic = float(np.sum((found - mean) ** 2) / mean)
    limit = freedom + SIGMAS * np.sqrt(2 * freedom)
    return "" if statistic < limit else f"chi-square {statistic:.0f} of {freedom} degrees of freedom"


def correlated(x: Any, y: Any) -> str:
    """The correlation of two samples that should be independent."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "one of the two is constant"
    found = float(np.corrcoef(x, y)[0, 1]) * np.sqrt(len(x))
    return "" if abs(found) < SIGMAS else f"correlation of {found:.1f} standard deviations"
