"""Calls an implementation of the blind set with plain data, as an audit would, and reads what it computes."""

import contextlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from tests.audit.blind import truth_members
from tests.audit.blind.plain import LEAVES, PLACES, SIZE, Asked, Batch, Pair, Tasks, Vector, leaves

CODE = "tests.audit.blind.code"


NEEDS = {"torch_libraries": ("higher", "torchopt"), "jax_libraries": ("jaxopt", "optax"), "keras_models": ("keras",)}


def implementation(module: str, name: str) -> Callable[..., Any]:
    """A function or class of the set; without the packages that it needs, the test that asks is skipped."""
    for package in (framework_of(module), *NEEDS.get(module, ())):
        pytest.importorskip(package)
    if module.endswith("_members"):
        return truth_members.implementation(framework_of(module), name)
    return getattr(importlib.import_module(f"{CODE}.{module}"), name)


def framework_of(module: str) -> str:
    return {"numpy": "numpy", "torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "keras": "tensorflow"}[
        module.split("_")[0]
    ]


def data(seed: int, equal: bool) -> tuple[Vector, Tasks]:
    """Parameters and three tasks, of sizes that differ unless `equal`."""
    rng = np.random.default_rng(seed)
    sizes = [(5, 4)] * 3 if equal else [(5, 4), (3, 6), (4, 2)]

    def batch(n: int) -> Batch:
        return rng.normal(size=(n, 3)), rng.normal(size=(n, 3))

    return rng.normal(size=SIZE) / 2, [(batch(s), batch(q)) for s, q in sizes]


def batches(tasks: Tasks, make: Callable[[np.ndarray], Any]) -> list[ms.Task]:
    return [ms.Task(*(Pair(*(make(a) for a in batch)) for batch in task)) for task in tasks]


def tanh_net(tanh: Callable[[Any], Any], mean: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda p, batch: mean((tanh(batch[0] @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"] - batch[1]) ** 2)


@contextlib.contextmanager
def kit(framework: str) -> Any:
    """make(array), loss(params, batch), loss_fn, model(theta), and how a model's variables are read."""
    if framework == "numpy":
        yield np.array, tanh_net(np.tanh, np.mean), None
    elif framework == "torch":
        import torch

        yield torch.tensor, tanh_net(torch.tanh, torch.mean), torch.nn.functional.mse_loss
    elif framework == "jax":
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            yield jnp.asarray, tanh_net(jnp.tanh, jnp.mean), None
    else:
        import keras
        import tensorflow as tf

        yield tf.constant, tanh_net(tf.tanh, tf.reduce_mean), keras.losses.MeanSquaredError(dtype="float64")


LAYERS = ("w1", "b1", "w2", "b2")


def torch_model(theta: Vector) -> Any:
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3)).double()
    with torch.no_grad():
        for p, name in zip(net.parameters(), LAYERS, strict=True):
            p.copy_(torch.tensor(leaves(theta)[name].T))
    return net


def keras_model(theta: Vector) -> Any:
    import keras

    with_type = {"dtype": "float64"}
    net = keras.Sequential(
        [keras.Input((3,), **with_type), keras.layers.Dense(3, "tanh", **with_type), keras.layers.Dense(3, **with_type)]
    )
    net.set_weights([leaves(theta)[name] for name in LAYERS])
    return net


def vector(tree: Any) -> Vector:
    """A tree like params, or a sequence in their order, as one vector."""
    arrays = tree if isinstance(tree, dict) else dict(zip(LEAVES, tree, strict=True))
    return np.concatenate([np.asarray(arrays[name], np.float64).reshape(-1) for name in PLACES])


def read_layers(values: Any, transposed: bool) -> Vector:
    arrays = [np.asarray(v, np.float64) for v in values]
    return vector({name: a.T if transposed else a for name, a in zip(LAYERS, arrays, strict=True)})


def computed(module: str, name: str, theta: Vector, tasks: Tasks, asked: Asked) -> Vector:
    """The mean over tasks of the meta-update that the implementation computes."""
    function, framework = implementation(module, name), framework_of(module)
    named = set(inspect.signature(function).parameters)
    if named & {"task", "support"}:
        return np.mean([_call(function, framework, named, theta, [task], asked) for task in tasks], axis=0)
    return _call(function, framework, named, theta, tasks, asked)


def _call(
    function: Callable[..., Any], framework: str, named: set[str], theta: Vector, tasks: Tasks, asked: Asked
) -> Vector:
    with kit(framework) as (make, loss, loss_fn):
        made = batches(tasks, make)
        offered: dict[str, Any] = asked._asdict() | {"loss": loss, "loss_fn": loss_fn, "tasks": made, "task": made[0]}
        offered |= {"support": made[0].support, "query": made[0].query}
        offered["params"] = {name: make(a) for name, a in leaves(theta).items()}
        if "stacked" in named:
            columns = [[np.stack(a) for a in zip(*part, strict=True)] for part in zip(*tasks, strict=True)]
            offered["stacked"] = ms.Task(*(Pair(*(make(a) for a in part)) for part in columns))
        if "model" in named:
            return _call_model(function, framework, named, theta, offered, asked)
        if isinstance(function, type):
            fitted = function(**{k: v for k, v in offered.items() if k in named}).fit(made)
            if hasattr(fitted, "delta_"):
                return vector(fitted.delta_)
            return (theta - vector(fitted.params_)) / asked.outer_lr
        result = vector(function(**{k: v for k, v in offered.items() if k in named}))
        return (theta - result) / asked.outer_lr if "outer_lr" in named else result


def _call_model(
    function: Callable[..., Any], framework: str, named: set[str], theta: Vector, offered: dict[str, Any], asked: Asked
) -> Vector:
    torch = framework == "torch"
    model = offered["model"] = torch_model(theta) if torch else keras_model(theta)
    if torch:
        from torch.optim import SGD

        offered["optimizer"] = SGD(model.parameters(), lr=asked.outer_lr)
    variables = list(model.parameters()) if torch else None
    result = function(**{k: v for k, v in offered.items() if k in named})
    if result is not None:
        return read_layers(result, torch)
    if variables is not None and "outer_lr" not in named:  # else .grad is what an inner step left behind
        return read_layers([p.grad for p in variables], torch)
    now = [p.detach() for p in model.parameters()] if torch else model.get_weights()
    return (theta - read_layers(now, torch)) / asked.outer_lr


def wants_equal_sizes(module: str, name: str) -> bool:
    """The implementation takes stacked tasks; or it is JAX's, which compiles every operation for every shape."""
    return framework_of(module) == "jax" or "stacked" in inspect.signature(implementation(module, name)).parameters
