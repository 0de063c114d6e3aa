"""Arrays that are not what they look like: left over from an earlier call, with arithmetic of their own, pickled."""

import pickle
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import LossError, MetaspecError, UnsupportedError

V = np.array([0.7, -1.2, 0.4, 1.9])
A = np.arange(16.0).reshape(4, 4) / 7
TASK = ms.Task({"x": V}, {"x": V})
ALGORITHMS = (ms.FOMAML(ms.GradientDescent(0.1, 0)), ms.MAML(ms.GradientDescent(0.1, 2)))


def result(loss: Any, algo: Any = ALGORITHMS[0]) -> Any:
    return ms.meta_gradient(algo, loss, {"v": V}, TASK, backend="numpy")


@pytest.mark.parametrize(("algo", "compiled"), [(ALGORITHMS[0], False), (ALGORITHMS[1], False), (ALGORITHMS[1], True)])
@pytest.mark.parametrize("kept", [lambda p: p["v"] ** 2, lambda p: p["v"], lambda p: np.sum(p["v"])])
def test_an_array_that_a_loss_keeps_from_call_to_call_is_refused(algo: Any, compiled: bool, kept: Any) -> None:
    memory: list[Any] = []

    def loss(p: Any, b: Any) -> Any:
        memory.append(kept(p))
        return memory[0] if memory[0].shape == () else np.sum(memory[0] * p["v"])

    f = lambda p, t: ms.meta_gradient(algo, loss, p, t, backend="numpy")  # noqa: E731
    f = ms.compile(f, backend="numpy") if compiled else f
    with pytest.raises(LossError, match="an array that was traced in an earlier call"):
        [f({"v": V}, TASK) for _ in range(2)]


class Added(np.ndarray):
    """An array whose product is a sum."""

    def __mul__(self, other: Any) -> Any:
        return np.asarray(self) + other

    __rmul__ = __mul__


@pytest.mark.parametrize("other", [np.matrix(A), np.ma.array(V, mask=[0, 1, 0, 0]), V.view(Added)])
@pytest.mark.parametrize(
    "f", [lambda x, y: x * y, lambda x, y: np.multiply(x, y), lambda x, y: np.where(y > 0, x, 0.0), lambda x, y: x + y]
)
def test_arrays_with_arithmetic_of_their_own_are_refused(other: Any, f: Any) -> None:
    with pytest.raises(MetaspecError, match=r"np\.asarray|arithmetic of its own"):
        result(lambda p, b: np.sum(f(p["v"], other)))


def test_records_and_mapped_files_are_arrays(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=4)
    mapped[:] = V**2
    record = np.rec.fromarrays([V], names="x")  # type: ignore[call-overload]
    r = result(lambda p, b: np.sum(p["v"] * mapped * record.x))
    assert np.allclose(r.delta["v"], V**3, rtol=1e-15)


def test_a_traced_array_passes_for_an_array() -> None:
    loss = lambda p, b: np.sum(p["v"] ** 2) if isinstance(p["v"], np.ndarray) else 0 * np.sum(p["v"])  # noqa: E731
    assert np.allclose(result(loss).delta["v"], 2 * V, rtol=1e-15)
    with pytest.raises(UnsupportedError, match="pickled"):
        result(lambda p, b: np.sum(pickle.loads(pickle.dumps(p["v"]))))


def test_attributes_that_are_set() -> None:
    def real(p: Any, b: Any) -> Any:
        x = p["v"] * 1
        x.real = 2 * x.real
        return np.sum(x**2)

    def shape(p: Any, b: Any) -> Any:
        x = p["v"] * 1
        x.shape = (2, 2)
        return np.sum(x[0])

    assert np.allclose(result(real).delta["v"], 8 * V, rtol=1e-15)
    with pytest.raises(UnsupportedError, match="reshape"):
        result(shape)
    assert not hasattr(ms.array_namespace({"v": V}), "no_such_function")
    with pytest.raises(UnsupportedError, match="'flat'"):
        result(lambda p, b: np.sum(p["v"].flat[:2]))


def test_a_list_of_traced_arrays_is_to_be_stacked() -> None:
    with pytest.raises(MetaspecError, match=r"np\.mean\(np\.stack\(\[a, b\]\)\)"):
        result(lambda p, b: np.mean([x**2 for x in p["v"]]))
    stacked = result(lambda p, b: np.mean(np.stack([x**2 for x in p["v"]])))
    assert np.allclose(stacked.delta["v"], V / 2, rtol=1e-15)
