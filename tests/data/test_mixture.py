"""Mixed families: a choice of them, errors."""

import pytest

from metaspec.data import FunctionMixture
from metaspec.errors import InvalidArgumentError, InvalidTypeError


def test_a_choice_of_families():
    source = FunctionMixture(("tanh", "linear"), shots=2, queries=3)
    assert {source.family(index)[0] for index in range(40)} == {"tanh", "linear"}
    assert source.batch(0, 4).query["y"].shape == (4, 3, 1)


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
