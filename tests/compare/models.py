"""One network, and the ways in which a port of it goes wrong; each a loss over the array API."""

import os
import time
from typing import Any

import numpy as np

import metaspec as ms
from metaspec import nn

BATCH, HIDDEN = (6, 9), 4


def params() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    first = {"w": 0.7 * rng.normal(size=(3, HIDDEN)), "b": 0.1 * rng.normal(size=HIDDEN)}
    second = {"w": 0.7 * rng.normal(size=(HIDDEN, HIDDEN)), "b": 0.1 * rng.normal(size=HIDDEN)}
    last = {"w": 0.7 * rng.normal(size=(HIDDEN, 2)), "b": 0.1 * rng.normal(size=2)}
    return {"layers": [first, second, last]}


def zero_biases() -> dict[str, Any]:
    found = params()
    for layer in found["layers"]:
        layer["b"] = np.zeros_like(layer["b"])
    return found


def others() -> dict[str, Any]:
    found = params()
    found["layers"][1]["w"] = found["layers"][1]["w"] + 0.01
    return found


def _task(seed: int) -> ms.Task:
    rng = np.random.default_rng(seed)
    return ms.Task(*({"x": rng.normal(size=(n, 3)), "y": rng.normal(size=(n, 2))} for n in BATCH))


task = _task(1)
other_task = _task(2)


def predict(theta: Any, batch: Any, activation: Any = nn.tanh) -> Any:
    first, second, last = theta["layers"]
    x = activation(batch["x"] @ first["w"] + first["b"])
    x = activation(x @ second["w"] + second["b"])
    return x @ last["w"] + last["b"]


def squares(theta: Any, batch: Any) -> Any:
    return (predict(theta, batch) - batch["y"]) ** 2


def base(theta: Any, batch: Any) -> Any:
    return ms.array_namespace(theta).mean(squares(theta, batch))


def reordered(theta: Any, batch: Any) -> Any:
    """A sum of the same terms in another order."""
    xp = ms.array_namespace(theta)
    return xp.sum(xp.flip(xp.mean(squares(theta, batch), axis=0))) / 2


def summed(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    return xp.sum(xp.mean(squares(theta, batch), axis=1))


def halved(theta: Any, batch: Any) -> Any:
    return base(theta, batch) / 2


def per_output(theta: Any, batch: Any) -> Any:
    return 2 * base(theta, batch)


def shifted(theta: Any, batch: Any) -> Any:
    return base(theta, batch) + 0.918938533204673


def decayed(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    leaves = [leaf for layer in theta["layers"] for leaf in layer.values()]
    return base(theta, batch) + 0.005 * sum(xp.sum(leaf * leaf) for leaf in leaves)


def summed_and_decayed(theta: Any, batch: Any) -> Any:
    return decayed(theta, batch) + summed(theta, batch) - base(theta, batch)


def detached(theta: Any, batch: Any) -> Any:
    first, *rest = theta["layers"]
    first = first | {"b": ms.get_backend().stop_gradient(first["b"])}
    return base({"layers": [first, *rest]}, batch)


def surrogate(theta: Any, batch: Any) -> Any:
    """The value of `base`, and another gradient."""
    more = ms.array_namespace(theta).mean(theta["layers"][0]["w"] ** 2)
    return base(theta, batch) + (more - ms.get_backend().stop_gradient(more))


def without_bias(theta: Any, batch: Any) -> Any:
    *rest, last = theta["layers"]
    return base({"layers": [*rest, {"w": last["w"], "b": 0.0}]}, batch)


def narrow(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    wide = theta["layers"][0]["w"].dtype
    x = batch["x"] @ theta["layers"][0]["w"] + theta["layers"][0]["b"]
    x = xp.astype(xp.astype(nn.tanh(x), xp.float32), wide)
    for layer in theta["layers"][1:2]:
        x = nn.tanh(x @ layer["w"] + layer["b"])
    last = theta["layers"][2]
    return xp.mean((x @ last["w"] + last["b"] - batch["y"]) ** 2)


def _leaky(slope: float) -> Any:
    def loss(theta: Any, batch: Any) -> Any:
        xp, x = ms.array_namespace(theta), batch["x"]
        for layer in theta["layers"][:-1]:
            x = x @ layer["w"] + layer["b"]
            x = xp.where(x > 0, x, slope * x)
        last = theta["layers"][-1]
        return xp.mean((x @ last["w"] + last["b"] - batch["y"]) ** 2)

    return loss


leaky, leaky_in_float32 = _leaky(0.2), _leaky(float(np.float32(0.2)))

_noise = np.random.default_rng()


def random(theta: Any, batch: Any) -> Any:
    return base(theta, batch) * (1 + 1e-3 * _noise.normal())


def abs_net(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    first, *rest = theta["layers"]
    return base({"layers": [first | {"b": xp.abs(first["b"])}, *rest]}, batch)


def abs_by_where(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    first, *rest = theta["layers"]
    return base({"layers": [first | {"b": xp.where(first["b"] >= 0, first["b"], -first["b"])}, *rest]}, batch)


zeros_task = ms.Task(*({**batch, "z": np.concatenate([batch["x"][:-1], np.zeros((1, 3))])} for batch in task))
even = ms.Task(task.support, {name: x[: BATCH[0]] for name, x in task.query.items()})


def rows_by_root(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    z = batch["z"] @ theta["layers"][0]["w"]
    return base(theta, batch) + xp.mean(xp.sqrt(xp.sum(z * z, axis=1)))


def rows_by_norm(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    return base(theta, batch) + xp.mean(xp.linalg.vector_norm(batch["z"] @ theta["layers"][0]["w"], axis=1))


def cancelling(theta: Any, batch: Any) -> Any:
    """`base` computed as a difference of large numbers."""
    xp = ms.array_namespace(theta)
    y = (predict(theta, batch) + 1e4) - 1e4
    return xp.mean((y - batch["y"]) ** 2)


def transposed(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    first, second, last = theta["layers"]
    return base({"layers": [first, second | {"w": xp.permute_dims(second["w"], (1, 0))}, last]}, batch)


def exchanged(theta: Any, batch: Any) -> Any:
    first, second, last = theta["layers"]
    return base({"layers": [first | {"b": second["b"]}, second | {"b": first["b"]}, last]}, batch)


def flattened_otherwise(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    first, second, last = theta["layers"]
    w = xp.reshape(xp.permute_dims(xp.reshape(last["w"], (2, 2, 2)), (1, 0, 2)), (HIDDEN, 2))
    return base({"layers": [first, second, last | {"w": w}]}, batch)


def _normalised(theta: Any, batch: Any, epsilon: float, correction: int, axis: int = 0) -> Any:
    xp = ms.array_namespace(theta)
    first, second, last = theta["layers"]

    def norm(x: Any) -> Any:
        x = x - xp.mean(x, axis=axis, keepdims=True)
        variance = xp.sum(x * x, axis=axis, keepdims=True) / (x.shape[axis] - correction)
        return x / xp.sqrt(variance + epsilon)

    x = nn.tanh(norm(batch["x"] @ first["w"]) + first["b"])
    x = nn.tanh(norm(x @ second["w"]) + second["b"])
    return xp.mean((x @ last["w"] + last["b"] - batch["y"]) ** 2)


def batch_norm(theta: Any, batch: Any) -> Any:
    return _normalised(theta, batch, 1e-5, 0)


def batch_norm_epsilon(theta: Any, batch: Any) -> Any:
    return _normalised(theta, batch, 1e-3, 0)


def batch_norm_unbiased(theta: Any, batch: Any) -> Any:
    return _normalised(theta, batch, 1e-5, 1)


def layer_norm(theta: Any, batch: Any) -> Any:
    return _normalised(theta, batch, 1e-5, 0, 1)


def layer_norm_epsilon(theta: Any, batch: Any) -> Any:
    return _normalised(theta, batch, 1e-6, 0, 1)


def other_activation(theta: Any, batch: Any) -> Any:
    """tanh with two terms too few: nothing that a comparison knows of."""
    xp = ms.array_namespace(theta)
    y = predict(theta, batch, lambda x: nn.tanh(x) * (1 + 1e-4 * x * x))
    return xp.mean((y - batch["y"]) ** 2)


def raising(theta: Any, batch: Any) -> Any:
    raise ValueError("these shapes do not go together")


def vector(theta: Any, batch: Any) -> Any:
    return ms.array_namespace(theta).mean(squares(theta, batch), axis=1)


def nan(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    return base(theta, batch) + xp.sum(xp.sqrt(batch["x"]))


def ending(theta: Any, batch: Any) -> Any:
    os._exit(3)


def slow(theta: Any, batch: Any) -> Any:
    time.sleep(60)


def zeros() -> dict[str, Any]:
    return {"w": np.ones((3, 2)), "b": np.zeros(2)}


def abs_of_biases(theta: Any, batch: Any) -> Any:
    xp = ms.array_namespace(theta)
    return xp.mean((batch["x"] @ theta["w"] + xp.abs(theta["b"]) - batch["y"]) ** 2)


def bias_before_norm(theta: Any, batch: Any, flip: bool = False) -> Any:
    """The first bias cancels: its gradient is zero up to rounding."""
    xp = ms.array_namespace(theta)
    first, _, last = theta["layers"]
    x = batch["x"] @ first["w"] + first["b"]
    x = x - xp.mean(xp.flip(x, axis=0) if flip else x, axis=0)
    x = nn.tanh(x / xp.sqrt(xp.mean(x * x, axis=0) + 1e-5))
    return xp.mean((x @ last["w"] + last["b"] - batch["y"]) ** 2)


def bias_before_norm_reordered(theta: Any, batch: Any) -> Any:
    return bias_before_norm(theta, batch, True)
