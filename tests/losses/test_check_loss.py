"""`check_loss`: no false alarm over right losses, and every kind of fault found, on NumPy or on every backend."""

import random
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import BackendMismatchError, InvalidTypeError
from tests.conftest import fewer_compiled

from .problems import ACTIVATIONS, REDUCTIONS, checked, examples, kinds, loss_of, network

BACKENDS = [status.name for status in ms.list_backends() if status.installed]
TANH = loss_of("tanh", "squares")
SCALES = {"float64": (1.0, 1e-100, 1e100), "float32": (1.0, 1e-15, 1e15)}


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_is_found_where_nothing_is_wrong(activation: str, reduction: str, dtype: str) -> None:
    for scale in SCALES[dtype]:
        for seed in range(3):
            check = checked(loss_of(activation, reduction, scale), "numpy", dtype, params=network(seed))
            assert check.ok, check
            assert not check.findings, check


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("activation", "reduction"), [("tanh", "squares"), ("relu", "absolute"), ("linear", "mean")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_found_on_any_backend(backend: str, activation: str, reduction: str, dtype: str) -> None:
    check = checked(loss_of(activation, reduction), backend, dtype, compiled=activation == "tanh")
    assert str(check) == "nothing to find fault with"


def _frozen(p: Any, batch: Any) -> Any:
    return TANH(ms.get_backend().stop_gradient(p), batch)


def _frozen_leaf(p: Any, batch: Any) -> Any:
    return TANH({**p, "w1": ms.get_backend().stop_gradient(p["w1"])}, batch)


def _surrogate(p: Any, batch: Any) -> Any:
    return TANH(p, batch) * ms.get_backend().stop_gradient(TANH(p, batch))


def _ignores(p: Any, batch: Any) -> Any:
    return ms.array_namespace(batch).mean(batch["x"] ** 2)


def _root_at_zero(p: Any, batch: Any) -> Any:
    xp = ms.array_namespace(p)
    return TANH(p, batch) + xp.sqrt(xp.sum(p["b1"] ** 2))


def _no_valid_example(p: Any, batch: Any) -> Any:
    xp = ms.array_namespace(p)
    return xp.sum(0 * p["w1"]) / xp.sum(0 * batch["y"])


def _random(p: Any, batch: Any) -> Any:
    return TANH(p, batch) * (1 + np.random.rand())


def _random_by_python(p: Any, batch: Any) -> Any:
    return TANH(p, batch) * (1 + random.random())


FAULTS = {
    _frozen: ("detached", "error"),
    _frozen_leaf: ("detached", "warning"),
    _surrogate: ("gradient", "warning"),
    _ignores: ("ignores-params", "error"),
    _root_at_zero: ("kink", "error"),
    _no_valid_example: ("non-finite", "error"),
    _random: ("random", "error"),
    _random_by_python: ("random", "error"),
}


@pytest.mark.parametrize(
    ("backend", "loss"), fewer_compiled(FAULTS, [*FAULTS][::3]), ids=lambda x: getattr(x, "__name__", x)
)
def test_portable_faults_are_found(backend: str, loss: Any) -> None:
    check = checked(loss, backend, "float32", compiled=False)
    assert FAULTS[loss] in kinds(check), check
    assert check.ok == all(severity != "error" for _, severity in kinds(check))


def test_a_second_derivative_that_is_wrong_on_the_kink_alone() -> None:
    check = checked(lambda p, b: TANH(p, b) + (np.abs(p["b1"]) ** 1.5).sum(), "numpy")
    assert kinds(check) == {("non-finite", "error")}
    assert check.findings[0].order == 2


def test_draws_that_do_not_show_in_the_value() -> None:
    check = checked(lambda p, b: TANH(p, b) + 0 * np.random.rand(), "numpy")
    assert ("random-state", "warning") in kinds(check)
    assert check.ok


def test_a_generator_of_its_own() -> None:
    rng = np.random.default_rng(0)
    assert ("random", "error") in kinds(checked(lambda p, b: TANH(p, b) * (1 + rng.random()), "numpy"))


def test_the_same_draw_every_time_is_a_function() -> None:
    check = checked(lambda p, b: TANH(p, b) * (1 + np.random.default_rng(0).random()), "numpy")
    assert not check.findings


def test_state_that_the_loss_reaches() -> None:
    statistics = {"mean": np.zeros(3)}

    def loss(p: Any, batch: Any) -> Any:
        statistics["mean"] *= 0.9
        statistics["mean"] += 0.1 * np.asarray(batch["x"]).mean(0) if isinstance(batch["x"], np.ndarray) else 0.1
        return TANH(p, batch)

    check = checked(loss, "numpy")
    (finding,) = (finding for finding in check.findings if finding.kind == "state")
    assert "statistics['mean']" in finding.seen
    assert finding.severity == "error"


def test_state_made_at_the_first_call_is_no_change() -> None:
    cache: dict[str, Any] = {}

    def loss(p: Any, batch: Any) -> Any:
        cache.setdefault("ones", np.ones(3))
        return TANH(p, batch)

    assert not checked(loss, "numpy").findings


def test_writing_into_the_batch() -> None:
    def loss(p: Any, batch: Any) -> Any:
        batch["x"][0] = 0.0
        return TANH(p, batch)

    assert kinds(checked(loss, "numpy")) == {("mutation", "error")}


def test_what_the_loss_raises_is_a_finding() -> None:
    assert kinds(checked(lambda p, b: p["lost"], "numpy")) == {("raises", "error")}
    assert kinds(checked(lambda p, b: 3, "numpy")) == {("contract", "error")}
    assert kinds(checked(lambda p, b: p["b1"], "numpy")) == {("contract", "error")}
    check = checked(lambda p, b: TANH(p, b) * float(p["b2"][0]), "numpy")
    assert kinds(check) == {("no-gradient", "error")}


def test_a_branch_on_values_cannot_be_batched() -> None:
    check = checked(lambda p, b: TANH(p, b) if float(b["x"].sum()) > -99 else 0 * TANH(p, b), "numpy")
    assert ("batched", "warning") in kinds(check)
    assert check.ok


def test_a_batched_form_that_is_another_function() -> None:
    def loss(p: Any, batch: Any) -> Any:
        traced_as_batch = "batch" in type(p["w1"]).__name__.lower() or "Batch" in repr(type(p["w1"]).__mro__)
        return TANH(p, batch) * (2.0 if traced_as_batch or _inside_vmap() else 1.0)

    def _inside_vmap() -> bool:
        import inspect

        return any("batching" in frame.filename for frame in inspect.stack())

    assert ("batched", "error") in kinds(checked(loss, "numpy"))


def test_a_leaf_without_use_is_noted_and_one_that_sleeps_is_not_called_unused() -> None:
    params = {**network(), "unused": np.ones(2), "empty": np.zeros((0, 3))}
    check = checked(lambda p, b: TANH(p, b) + 0 * p["empty"].sum(), "numpy", params=params)
    assert kinds(check) == {("unused-leaf", "note")}
    assert "params['unused']" in check.findings[0].seen

    params = {**network(), "b1": np.full(8, -50.0)}  # every unit is off, for every example
    assert kinds(checked(loss_of("relu", "squares"), "numpy", params=params)) == {("flat", "note")}


def test_a_last_layer_of_zeros_hides_nothing() -> None:
    params = {**network(), "w2": np.zeros((8, 1))}
    assert not checked(TANH, "numpy", params=params).findings


def test_kinks_beside_kinks_are_no_fault() -> None:
    """Ten thousand kinks: differences of gradients see a curvature on every scale that the derivative has not."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10_000, 3)), rng.normal(size=10_000)
    for dtype in ("float32", "float64"):
        batch = {"x": x.astype(dtype), "y": y.astype(dtype)}
        check = ms.check_loss(lambda p, b: np.mean(np.abs(b["x"] @ p["w"] - b["y"])), {"w": np.ones(3, dtype)}, batch)
        assert not check.findings


def test_a_loss_that_computes_in_float32_inside() -> None:
    params, batch = network(), examples()

    def narrow(tree: Any) -> Any:
        return {name: leaf.astype(np.float32) for name, leaf in tree.items()}

    assert not ms.check_loss(lambda p, b: TANH(narrow(p), narrow(b)), params, batch).findings


def test_digits_that_float32_has_not() -> None:
    check = checked(lambda p, b: TANH({**p, "w1": p["w1"] + 6e5 - 6e5}, b), "numpy", "float32")
    assert kinds(check) == {("digits", "note")}


def test_aux_and_numbers_in_the_batch() -> None:
    params, batch = network(), {**examples(), "weight": 2.0}
    assert not ms.check_loss(lambda p, b: (b["weight"] * TANH(p, b), 1), params, batch, has_aux=True).findings


def test_bad_arguments_raise() -> None:
    with pytest.raises(InvalidTypeError, match="loss must be a function"):
        ms.check_loss(3, network(), examples())  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="floating"):
        ms.check_loss(TANH, {"w": np.ones(3, "int64")}, examples())
    if "torch" in BACKENDS:
        with pytest.raises(BackendMismatchError):
            ms.check_loss(TANH, network(), ms.asarray(examples(), backend="torch"))


def test_it_is_bound_in_the_modules_of_the_backends() -> None:
    import metaspec.numpy as bound

    assert bound.check_loss(TANH, network(), examples()).ok


def _asks_for_the_type(p: Any, batch: Any) -> Any:
    return TANH(p, batch) * (1.0 if type(p["w1"]) is np.ndarray else 2.0)


def _hides_a_refusal(p: Any, batch: Any) -> Any:
    try:
        return TANH(p, batch) * (2.0 + abs(float(p["w1"][0, 0])))
    except TypeError:
        return TANH(p, batch)


@pytest.mark.parametrize("loss", [_asks_for_the_type, _hides_a_refusal])
def test_a_loss_that_is_another_function_where_it_is_differentiated(loss: Any) -> None:
    (finding,) = checked(loss, "numpy").findings
    assert (finding.kind, finding.severity) == ("another-function", "error")
