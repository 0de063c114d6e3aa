"""Mixed families: formulas, intervals, how often each comes, noise, errors."""

import numpy as np
import pytest

from metaspec.data import FunctionMixture, TaskSource
from metaspec.data.mixture import FAMILIES
from metaspec.errors import InvalidArgumentError, InvalidTypeError

TRUTH = {  # by hand, and by another notation than the source's
    "sinusoid": lambda x, A, phase: A * (np.sin(x) * np.cos(phase) - np.cos(x) * np.sin(phase)),
    "linear": lambda x, a, b: np.polyval([a, b], x),
    "quadratic": lambda x, a, b, c, s: np.polyval(np.array([a, -2 * a * c, a * c * c]) * np.sign(s) + [0, 0, b], x),
    "absolute": lambda x, a, b, c: b + a * np.maximum(x - c, c - x),
    "tanh": lambda x, a, b, c: b + a * (1 - 2 / (np.exp(2 * (x - c)) + 1)),
}
INTERVALS = {
    "sinusoid": [(0.1, 5), (0, np.pi)],
    "linear": [(-3, 3), (-3, 3)],
    "quadratic": [(0.02, 0.15), (-3, 3), (-3, 3), (-1, 1)],
    "absolute": [(-3, 3)] * 3,
    "tanh": [(-3, 3)] * 3,
}


def test_is_a_task_source():
    assert isinstance(FunctionMixture(), TaskSource)


def test_points_lie_on_the_functions():
    source, seen = FunctionMixture(seed=4, dtype="float64"), set()
    for index in range(60):
        name, parameters = source.family(index)
        seen.add(name)
        for part in source.task(index):
            np.testing.assert_allclose(part["y"], TRUTH[name](part["x"], *parameters), rtol=0, atol=1e-13)
            assert part["x"].min() >= -5
            assert part["x"].max() <= 5
    assert seen == set(FAMILIES)


def test_families_come_equally_often_and_parameters_fill_their_intervals():
    drawn = [FunctionMixture().family(index) for index in range(4000)]
    for name, intervals in INTERVALS.items():
        rows = np.array([parameters for family, parameters in drawn if family == name])
        assert abs(len(rows) - 800) < 4 * np.sqrt(4000 * 0.2 * 0.8)
        assert rows.shape[1] == len(intervals)
        for column, (low, high) in zip(rows.T, intervals, strict=True):
            assert low <= column.min() < low + 0.02 * (high - low)
            assert high - 0.02 * (high - low) < column.max() <= high
            assert abs(column.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * len(rows))


def test_a_choice_of_families():
    source = FunctionMixture(("tanh", "linear"), shots=2, queries=3)
    assert {source.family(index)[0] for index in range(40)} == {"tanh", "linear"}
    assert source.batch(0, 4).query["y"].shape == (4, 3, 1)


def test_noise_is_normal_and_independent_and_moves_y_alone():
    clean, noisy = (
        FunctionMixture(noise=noise, shots=40, queries=60, dtype="float64").batch(0, 60) for noise in (0, 0.3)
    )
    residuals = []
    for a, b in zip(clean, noisy, strict=True):
        assert np.array_equal(a["x"], b["x"])
        residuals.append((b["y"] - a["y"])[..., 0] / 0.3)
    z = np.sort(np.concatenate(residuals, axis=1).ravel())
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / len(z))
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / len(z))
    points = np.concatenate(residuals, axis=1)
    assert abs(np.corrcoef(points[:, :50].ravel(), points[:, 50:].ravel())[0, 1]) < 4 / np.sqrt(3000)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"families": ()}, InvalidArgumentError, "families: expected one or more distinct names"),
        ({"families": ("tanh", "tanh")}, InvalidArgumentError, "families: expected one or more distinct names"),
        ({"families": "tanh"}, InvalidTypeError, "families: expected a tuple of names, got 'tanh'"),
        ({"families": ("tan",)}, InvalidArgumentError, r"families\[0\]: expected one of 'sinusoid'.*got 'tan'"),
        ({"noise": -0.1}, InvalidArgumentError, "noise must be a finite number >= 0, got -0.1"),
        ({"shots": 0}, InvalidArgumentError, "shots: expected"),
        ({"x": (1, 0)}, InvalidArgumentError, "x: expected"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        FunctionMixture(**arguments)
