"""What the tests of every framework's models share: one small task, and how a result is compared."""

import numpy as np

import metaspec as ms

LR = 0.1


def arrays(seed=0, inputs=2, examples=6):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype("float32")  # noqa: E731
    return ms.Task(*({"x": draw(examples, inputs), "y": draw(examples, 1)} for _ in range(2)))


def close(found, expected):
    """Within float32's roundoff of small sums of well-scaled terms."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= 64 * 2.0**-24 * max(1.0, np.linalg.norm(expected))


def unchanged(before, after):
    assert before.keys() == after.keys()
    for name, leaf in before.items():
        np.testing.assert_array_equal(leaf, after[name], err_msg=name)
