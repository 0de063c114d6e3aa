"""A compiled function looks at its arguments once, and again when their kinds or the choice of backend change."""

import numpy as np
import pytest

import metaspec as ms
from metaspec.api import compilation


def test_a_second_call_with_arguments_of_the_same_kinds_is_not_looked_at_again(monkeypatch):
    looked = []
    plain = compilation.check_foreign
    monkeypatch.setattr(compilation, "check_foreign", lambda *args: looked.append(args) or plain(*args))
    f = ms.compile(lambda tree: tree["x"] * 2)
    for n in (2, 2, 3):  # shapes are the trace's business
        assert f({"x": np.ones(n)}).tolist() == [2.0] * n
    assert len(looked) == 1
    assert f({"x": np.ones(2, "float32")}).dtype == np.float32
    assert len(looked) == 2
    for _ in range(2):
        with pytest.raises(ms.errors.MetaspecError):
            f({"x": "text"})
    assert len(looked) == 2  # no framework was found, so there was nothing to look at


def test_a_choice_made_between_two_calls_counts():
    pytest.importorskip("torch")
    f = ms.compile(lambda x: x * 2)
    x = np.ones(2)
    assert f(x).tolist() == [2.0, 2.0]
    with ms.backend_context("torch"), pytest.raises(ms.errors.BackendMismatchError, match=r"arguments.*'numpy'"):
        f(x)
    assert f(x).tolist() == [2.0, 2.0]


def test_leaves_that_may_hold_others_are_looked_at_every_time():
    f = ms.compile(lambda x, factor: x * factor)
    assert [f(np.ones(1), factor).tolist() for factor in (2, 3, 2.5)] == [[2.0], [3.0], [2.5]]
    torch = pytest.importorskip("torch")
    with pytest.raises(ms.errors.BackendMismatchError):
        f(np.ones(1), torch.ones(1))
