"""NumPy's Philox at many counters at once.

NumPy's generator is set to one counter after the other, which costs more than the words that a small task needs. This
computes the same words for all tasks of many steps in a few hundred operations on arrays.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Philox 4 x 64, 10 rounds.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
HALF, LOW = np.uint64(32), np.uint64(2**32 - 1)


def raw(key: tuple[int, int], tasks: Words, stream: int, count: int) -> Words:
    """The first words that `numpy.random.Philox` gives under a key with the counter (0, task, stream, 0).

    Args:
        key: Two words.
        tasks: [T], the second word of the counter.
        stream: The third.
        count: How many words for each task.

    Returns:
        [T, count].
    """
    blocks = -(-count // 4)
    a = np.tile(np.arange(1, blocks + 1, dtype=np.uint64), len(tasks))  # NumPy counts before it draws
    b = np.repeat(tasks, blocks)
    c, d = np.full_like(a, stream), np.zeros_like(a)
    first, second = key
    for _ in range(ROUNDS):
        high, higher = _high(a, MULTIPLIERS[0]), _high(c, MULTIPLIERS[1])
        a *= np.uint64(MULTIPLIERS[0])
        c *= np.uint64(MULTIPLIERS[1])
        higher ^= b
        higher ^= np.uint64(first)
        high ^= d
        high ^= np.uint64(second)
        a, b, c, d = higher, c, high, a
        first, second = (first + WEYL[0]) % 2**64, (second + WEYL[1]) % 2**64
    return np.stack([a, b, c, d], axis=-1).reshape(len(tasks), 4 * blocks)[:, :count]


def _high(x: Words, multiplier: int) -> Words:
    """The upper 64 of the 128 bits of x * multiplier, from products of halves."""
    low, high = np.uint64(multiplier & 0xFFFFFFFF), np.uint64(multiplier >> 32)
    right, left = x & LOW, x >> HALF
    carried = right * low
    carried >>= HALF
    middle = left * low
    middle += carried
    right *= high
    right += middle & LOW
    right >>= HALF
    middle >>= HALF
    left *= high
    left += middle
    left += right
    return left
