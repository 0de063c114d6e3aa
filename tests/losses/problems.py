"""Losses that are right, and losses broken on purpose, over the array API."""

from collections.abc import Callable
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.losses.findings import LossCheck

Loss = Callable[[Any, Any], Any]


def network(seed: int = 0, width: int = 8) -> Any:
    """Parameters of a network 3-width-1, biases zero."""
    rng = np.random.default_rng(seed)
    return {
        "b1": np.zeros(width),
        "b2": np.zeros(1),
        "w1": 0.5 * rng.normal(size=(3, width)),
        "w2": 0.5 * rng.normal(size=(width, 1)),
    }


def examples(seed: int = 1, count: int = 20) -> Any:
    """Inputs of three numbers, some of them zero, and one target."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    x[::4] = 0.0  # units are then exactly at the kink of relu
    return {"x": x, "y": rng.normal(size=(count, 1))}


def residuals(activation: Callable[[Any, Any], Any]) -> Loss:
    """The network's errors as a function of parameters and batch."""

    def errors(p: Any, batch: Any) -> Any:
        hidden = activation(ms.array_namespace(p), batch["x"] @ p["w1"] + p["b1"])
        return hidden @ p["w2"] + p["b2"] - batch["y"]

    return errors


ACTIVATIONS = {
    "tanh": lambda xp, x: xp.tanh(x),
    "relu": lambda xp, x: xp.where(x > 0, x, xp.zeros_like(x)),
    "absolute": lambda xp, x: xp.abs(x),
    "linear": lambda xp, x: x,
}
REDUCTIONS = {
    "squares": lambda xp, e: xp.mean(e**2),
    "absolute": lambda xp, e: xp.mean(xp.abs(e)),
    "mean": lambda xp, e: xp.mean(e),
    "largest": lambda xp, e: xp.max(e**2),
    "sorted": lambda xp, e: xp.mean(xp.sort(xp.abs(e[:, 0]))[5:]),
    "huber": lambda xp, e: xp.mean(xp.where(xp.abs(e) < 1, e**2 / 2, xp.abs(e) - 0.5)),
}


def loss_of(activation: str, reduction: str, scale: float = 1.0) -> Loss:
    """The loss of the network with this activation and reduction."""
    errors = residuals(ACTIVATIONS[activation])
    return lambda p, batch: scale * REDUCTIONS[reduction](ms.array_namespace(p), errors(p, batch))


def checked(loss: Loss, backend: str, dtype: str = "float64", params: Any = None, **options: Any) -> LossCheck:
    """`check_loss` of it with the network's parameters and examples."""
    B = ms.get_backend(backend)
    with B.precision(dtype):
        p, batch = ms.asarray((network() if params is None else params, examples()), dtype=dtype, backend=B)
        return ms.check_loss(loss, p, batch, backend=B, **options)


def kinds(check: LossCheck) -> set[tuple[str, str]]:
    """What was found, with its severity."""
    return {(finding.kind, finding.severity) for finding in check.findings}
