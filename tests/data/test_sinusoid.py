"""Sinusoids: formula, shapes, errors."""

import math

import numpy as np
import pytest

from metaspec.data import Sinusoid
from metaspec.errors import InvalidArgumentError, InvalidTypeError, MetaspecError


def test_shapes_and_dtypes():
    task, batch = Sinusoid(shots=5, queries=8).task(0), Sinusoid(shots=5, queries=8, dtype="float64").batch(0, 3)
    for name in ("x", "y"):
        assert (task.support[name].shape, task.query[name].shape) == ((5, 1), (8, 1))
        assert (batch.support[name].shape, batch.query[name].shape) == ((3, 5, 1), (3, 8, 1))
        assert (task.query[name].dtype, batch.query[name].dtype) == (np.float32, np.float64)


def test_points_lie_on_the_sinusoid():
    source = Sinusoid(seed=4, dtype="float64")
    for index in range(20):
        A, phase = source.amplitude_and_phase(index)
        for part in source.task(index):
            assert np.allclose(part["y"], [[A * math.sin(x - phase)] for x in part["x"][:, 0]], rtol=0, atol=1e-14)


def test_intervals_can_be_chosen():
    source = Sinusoid(amplitude=(5, 10), phase=(1, 1), x=(0, 2), dtype="float64")
    assert all(5 <= source.amplitude_and_phase(i)[0] <= 10 and source.amplitude_and_phase(i)[1] == 1 for i in range(50))
    x = source.batch(0, 100).query["x"]
    assert 0 <= x.min() < x.max() <= 2


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("shots", 0, InvalidArgumentError),
        ("shots", -1, InvalidArgumentError),
        ("shots", 2.0, InvalidTypeError),
        ("queries", 0, InvalidArgumentError),
        ("queries", True, InvalidTypeError),
        ("queries", "5", InvalidTypeError),
        ("seed", -1, InvalidArgumentError),
        ("seed", 2**64, InvalidArgumentError),
        ("seed", None, InvalidTypeError),
        ("stream", "meta", InvalidArgumentError),
        ("stream", 0, InvalidTypeError),
        ("dtype", "float16", InvalidArgumentError),
        ("dtype", np.float32, InvalidTypeError),
        ("amplitude", (5, 1), InvalidArgumentError),
        ("phase", (0, math.inf), InvalidArgumentError),
        ("x", 3, InvalidTypeError),
        ("x", (1, 2, 3), InvalidTypeError),
    ],
)
def test_wrong_arguments_are_named_with_what_was_given(argument, value, error):
    with pytest.raises(error, match=rf"^{argument}: expected") as caught:
        Sinusoid(**{argument: value})
    assert str(value) in str(caught.value) or repr(value) in str(caught.value)
    assert isinstance(caught.value, MetaspecError)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda s: s.task(-1), "index"),
        (lambda s: s.task(1.5), "index"),
        (lambda s: s.batch(-1, 2), "step"),
        (lambda s: s.batch(0, 0), "size"),
        (lambda s: s.batch(2**63, 3), "step"),
        (lambda s: s.amplitude_and_phase(-2), "index"),
    ],
)
def test_wrong_indices_are_named(call, argument):
    with pytest.raises(MetaspecError, match=rf"^{argument}: expected"):
        call(Sinusoid())


def test_numpy_integers_are_integers_and_the_last_index_works():
    source = Sinusoid(shots=np.int64(4), queries=np.int32(2))
    assert source.task(np.int64(3)).support["x"].shape == (4, 1)
    assert source.task(2**64 - 1).query["x"].shape == (2, 1)
