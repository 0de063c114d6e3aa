"""`check_loss` on what JAX does with losses: custom derivatives, callbacks, keys."""

from typing import Any

import numpy as np
import pytest

import metaspec as ms

from .problems import kinds

jax = pytest.importorskip("jax")
jnp = jax.numpy


def problem() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 4)), "float32"), "v": jnp.ones(4, "float32")}
    return params, {"x": jnp.asarray(rng.normal(size=(12, 3)), "float32")}


@jax.custom_vjp
def cube_by_vjp(x: Any) -> Any:
    return x**3


cube_by_vjp.defvjp(lambda x: (x**3, x), lambda x, g: (3 * g * jax.lax.stop_gradient(x) ** 2,))


@jax.custom_jvp
def cube_by_jvp(x: Any) -> Any:
    return x**3


cube_by_jvp.defjvp(lambda p, t: (p[0] ** 3, 3 * jax.lax.stop_gradient(p[0]) ** 2 * t[0]))


@pytest.mark.parametrize(
    ("f", "right"), [(cube_by_vjp, False), (cube_by_jvp, False), (jax.nn.relu, True), (jnp.tanh, True)]
)
def test_second_derivatives(f: Any, right: bool) -> None:
    check = ms.check_loss(lambda p, b: jnp.mean((f(b["x"] @ p["w"]) @ p["v"]) ** 2), *problem(), compiled=False)
    assert kinds(check) == (set() if right else {("second-derivative", "error")}), check


def test_a_key_of_its_own_is_a_function_though_float64_draws_otherwise() -> None:
    def loss(p: Any, b: Any) -> Any:
        mask = jax.random.uniform(jax.random.key(0), (12, 4)) < 0.5
        return jnp.mean(((mask * jnp.tanh(b["x"] @ p["w"])) @ p["v"]) ** 2)

    assert not ms.check_loss(loss, *problem(), compiled=False).findings


def test_draws_of_the_host() -> None:
    def called_back(p: Any, b: Any) -> Any:
        draw = jax.pure_callback(lambda: np.float32(np.random.rand()), jax.ShapeDtypeStruct((), "float32"))
        return jnp.mean((b["x"] @ p["w"] @ p["v"]) ** 2) * (1 + draw)

    traced = ms.check_loss(lambda p, b: jnp.mean((b["x"] @ p["w"] @ p["v"]) ** 2) * np.random.rand(), *problem())
    for check in (traced, ms.check_loss(called_back, *problem())):
        assert ("random", "error") in kinds(check)


def test_a_branch_on_the_batch_works_eagerly() -> None:
    def loss(p: Any, b: Any) -> Any:
        return jnp.mean((b["x"] @ p["w"] @ p["v"]) ** 2) * (1.0 if float(b["x"].sum()) > -1e9 else 2.0)

    check = ms.check_loss(loss, *problem())
    assert kinds(check) == {("compiled", "warning")}
