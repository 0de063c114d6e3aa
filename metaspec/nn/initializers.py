r"""Parameters to start from, in NumPy: the same bits for every backend, platform and order of drawing.

A leaf is a function of (seed, name of the leaf, shape) alone: Philox, a bijection of counters under a key, the key made
from the seed and the name. The raw words are used, because NumPy keeps the bit generators' output the same for ever,
which it does not promise of `Generator`'s methods. All is computed in float64 and rounded once.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.errors import InvalidArgumentError, InvalidTypeError

DTYPES = ("float32", "float64")


def check_seed(seed: Any) -> int:
    """Return the seed, checked to be an integer with 0 <= seed < 2^64."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InvalidTypeError(f"seed: expected an integer, got {seed!r} of type {type(seed).__name__}")
    if not 0 <= int(seed) < 2**64:
        raise InvalidArgumentError(f"seed: expected 0 <= seed < 2^64, got {seed}")
    return int(seed)


def check_dtype(dtype: Any) -> str:
    """Return the name of a dtype, checked to be one that parameters can have."""
    if dtype not in DTYPES:
        raise InvalidArgumentError(f"dtype: expected one of {DTYPES}, as a string; got {dtype!r}")
    return str(dtype)


def uniforms(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw u ~ U(0, 1), float64, never 0 and never 1: the midpoints of 2^52 equal cells."""
    key = np.random.SeedSequence([seed, *name.encode()]).generate_state(2, np.uint64)
    words = np.random.Philox(key=key).random_raw(math.prod(shape))
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5).reshape(shape) * 2.0**-52


def glorot_uniform(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    r"""Draw from U(-r, r), r = \sqrt{6 / (fan_in + fan_out)}, of a weight [D, F] or a kernel [h, w, C, F].

    Source: Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """
    field = math.prod(shape[:-2])
    r = math.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
    return (2.0 * uniforms(seed, name, shape) - 1.0) * r


def normal(seed: int, name: str, shape: tuple[int, ...], std: float, bound: float = math.inf) -> NDArray[np.float64]:
    """Draw from N(0, std^2), conditioned on |x| <= bound * std, by the inverse of the distribution function."""
    standard = NormalDist()
    low, high = standard.cdf(-bound), standard.cdf(bound)
    u = low + (high - low) * uniforms(seed, name, shape)
    return std * np.array([standard.inv_cdf(p) for p in u.ravel().tolist()]).reshape(shape)
