"""Losses that ask in Python for values of arrays: right where JAX has the values, and else refused with a remedy."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import metaspec as ms  # noqa: E402
from metaspec.errors import LossError  # noqa: E402

RNG = np.random.default_rng(0)
PARAMS = {"w": jnp.asarray(RNG.normal(size=(3, 4)), "float32"), "v": jnp.asarray(RNG.normal(size=4), "float32")}
RATE = 0.05
SCALAR = jax.ShapeDtypeStruct((), jnp.float32)


def batch() -> dict[str, Any]:
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=5)
    return {"x": jnp.asarray(x, "float32"), "y": jnp.asarray(y, "float32"), "mask": jnp.asarray(y > 0)}


TASKS = [ms.Task(batch(), batch()) for _ in range(2)]
ALGO = ms.MAML(ms.GradientDescent(RATE, 1))


def fit(p: Any, b: Any) -> Any:
    return jnp.mean((jnp.tanh(b["x"] @ p["w"]) @ p["v"] - b["y"]) ** 2)


OF_DATA: dict[str, Callable[[Any, Any], Any]] = {
    "if": lambda p, b: fit(p, b) if jnp.sum(b["y"]) > 0 else 2 * fit(p, b),
    "item": lambda p, b: fit(p, b) * b["y"].sum().item(),
    "float": lambda p, b: float(b["y"][0]) * fit(p, b),
    "a function of NumPy's": lambda p, b: fit(p, b) + np.sum(np.asarray(b["y"])) * jnp.sum(p["v"]),
    "a mask": lambda p, b: jnp.sum((jnp.tanh(b["x"] @ p["w"]) @ p["v"])[b["mask"]] ** 2),
    "a number of steps": lambda p, b: jax.lax.fori_loop(0, jnp.sum(b["mask"]), lambda i, h: jnp.sin(h), fit(p, b)),
    "a callback": lambda p, b: fit(p, b) * jax.pure_callback(lambda y: np.sum(y), SCALAR, b["y"]),
    "a range": lambda p, b: sum(fit(p, b) for _ in range(int(b["mask"].sum()))) + fit(p, b),
}


def derivative(loss: Any, task: ms.Task) -> Any:
    def adapted(p: Any) -> Any:
        return loss(jax.tree.map(lambda x, g: x - RATE * g, p, jax.grad(loss)(p, task.support)), task.query)

    return jax.grad(adapted)(PARAMS)


@pytest.mark.parametrize("loss", OF_DATA.values(), ids=OF_DATA)
def test_values_of_data_are_had_outside_of_jit(loss: Any, caplog: pytest.LogCaptureFixture) -> None:
    expected = jax.tree.map(lambda a, b: (a + b) / 2, *(derivative(loss, task) for task in TASKS))
    with caplog.at_level(logging.WARNING, "metaspec"):
        found = ms.batch_meta_gradient(ALGO, loss, PARAMS, TASKS).delta
    for name in PARAMS:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, atol=2e-5)
    assert "jax.vmap refuses it" in caplog.text
    assert "tasks one after another" in caplog.text


@pytest.mark.parametrize("loss", [OF_DATA["if"], OF_DATA["a mask"]], ids=["if", "mask"])
def test_under_jit_they_are_refused(loss: Any) -> None:
    compiled = ms.compile(lambda p, t: ms.meta_gradient(ALGO, loss, p, t))
    with pytest.raises(LossError, match=r"asks in Python .*jax.lax.cond .*pass in with the batch"):
        compiled(PARAMS, TASKS[0])


def test_what_leaves_jax_has_no_derivative() -> None:
    with pytest.raises(LossError, match="TracerArrayConversionError.*jnp's functions for NumPy's"):
        ms.meta_gradient(ALGO, lambda p, b: fit(p, b) + np.sum(np.tanh(p["v"])), PARAMS, TASKS[0])
