r"""Counter-based random numbers: what is drawn for a task depends on (seed, stream, index) and on nothing else.

Philox is a bijection of 256-bit counters under a key. The key comes from the seed, and the counter is
(block, index, stream, 0), 64 bits each, so two tasks, or two streams, never read the same block: meta-train and
meta-test are disjoint by construction, there is no state to save, and task 10^6 costs as much as task 0.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import STREAMS
from metaspec.data._philox import raw

MANY, SHORT = 200, 64  # from so many rows of up to so many words on, computing the words on arrays is faster


@lru_cache(maxsize=64)
def _key(seed: int) -> tuple[int, int]:
    low, high = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    return int(low), int(high)


def uniforms(seed: int, stream: str, indices: Sequence[int], count: int) -> NDArray[np.float64]:
    """Draws u ~ U[0, 1), float64 [len(indices), count]; row r is a function of (seed, stream, indices[r]) alone.

    A longer row begins with the shorter one. The raw words are used, because NumPy keeps the bit generators' output
    the same for ever, which it does not promise of `Generator`'s methods.
    """
    number = STREAMS.index(stream)
    if len(indices) >= MANY and count <= SHORT:
        words = raw(_key(seed), np.asarray(indices, dtype=np.uint64), number, count)
    else:
        words = _one_by_one(_key(seed), indices, number, count)
    return (words >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)


def _one_by_one(key: tuple[int, int], indices: Sequence[int], stream: int, count: int) -> NDArray[np.uint64]:
    bits = np.random.Philox(key=np.array(key, dtype=np.uint64))  # one for all rows: making one costs 10 us
    state, counter = bits.state, np.array([0, 0, stream, 0], dtype=np.uint64)
    state["state"]["counter"] = counter
    words = np.empty((len(indices), count), dtype=np.uint64)
    for row, index in zip(words, indices, strict=True):
        counter[1] = index
        bits.state = state
        row[:] = bits.random_raw(count)
    return words


def partial_shuffle(u: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draws k distinct integers from range(sizes[r]) for every row r: the first k steps of Fisher and Yates's shuffle.

    Args:
        u: uniforms in [0, 1), [rows, k].
        sizes: [rows], each at least k.

    Returns:
        [rows, k]; every ordered choice of k out of sizes[r] is equally likely, up to rounding of 2^-53.
    """
    rows, k = u.shape
    row = np.arange(rows)
    deck = np.tile(np.arange(sizes.max(initial=0)), (rows, 1))
    for j in range(k):
        other = j + (u[:, j] * (sizes - j)).astype(np.int64)  # u <= 1 - 2^-53, so the product stays below sizes - j
        deck[row, j], deck[row, other] = deck[row, other], deck[row, j]
    return deck[:, :k]
