"""Code with numbers of its own, each of which a report has to print; what it prints is in test_printed_numbers.py."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import metaspec as ms

B = ms.get_backend("numpy")
RATES = (0.05, 0.1, 0.02, 0.07, 0.03)


def rates_by_step(params: Any, tasks: Any, loss: Any, steps: int) -> Any:
    """MAML with a table of rates."""

    def adapted(theta: Any, support: Any) -> Any:
        for rate in RATES[:steps]:
            g = B.grad(loss)(theta, support)
            theta = {name: leaf - rate * g[name] for name, leaf in theta.items()}
        return theta

    def outer(phi: Any) -> Any:
        return sum(loss(adapted(phi, support), query) for support, query in tasks) / len(tasks)

    return B.grad(outer)(params)


def reptile(size: int, joined: bool) -> Callable[..., Any]:
    """Reptile whose steps see the next `size` examples, of the support set or of both sets, around the end."""

    def step(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
        moves = []
        for support, query in tasks:
            x, y = map(np.concatenate, zip(support, query, strict=True)) if joined else support
            theta = params
            for k in range(steps):
                rows = np.arange(k * size, (k + 1) * size) % len(x)
                g = B.grad(loss)(theta, (x[rows], y[rows]))
                theta = {name: leaf - lr * g[name] for name, leaf in theta.items()}
            moves.append({name: leaf - theta[name] for name, leaf in params.items()})
        return {name: np.mean([move[name] for move in moves], axis=0) for name in params}

    return step


def implicit(solve: Callable[[Any, Any, float], Any]) -> Callable[..., Any]:
    """iMAML that solves for the query gradient with `solve(H, g, lambda)`."""

    def step(params: Any, task: Any, loss: Any, lr: float, steps: int, regularization: float) -> Any:
        shapes = {name: leaf.shape for name, leaf in params.items()}
        ends = np.cumsum([leaf.size for leaf in params.values()])

        def unpacked(v: Any) -> Any:
            parts = zip(shapes.items(), ends, strict=True)
            return {name: v[end - math.prod(shape) : end].reshape(shape) for (name, shape), end in parts}

        def on(batch: Any) -> Any:
            return B.grad(lambda v: loss(unpacked(v), batch))

        phi = np.concatenate([leaf.reshape(-1) for leaf in params.values()])
        theta, descend = phi, on(task.support)
        for _ in range(steps):
            theta = theta - lr * (descend(theta) + regularization * (theta - phi))
        H = np.stack([B.hvp(lambda v: loss(unpacked(v), task.support))(theta, e) for e in np.eye(len(phi))])
        return unpacked(solve(H, on(task.query)(theta), regularization))

    return step


def richardson(rate: float, count: int) -> Callable[[Any, Any, float], Any]:
    """`count` steps of Richardson's iteration from zero on I + H/lambda."""

    def solve(H: Any, g: Any, strength: float) -> Any:
        x = np.zeros_like(g)
        for _ in range(count):
            x = x + rate * (g - x - H @ x / strength)
        return x

    return solve


def exact(operator: Callable[[Any, Any, float], Any]) -> Callable[[Any, Any, float], Any]:
    """The solution of a system whose matrix is `operator(I, H, lambda)`."""
    return lambda H, g, strength: np.linalg.solve(operator(np.eye(len(g)), H, strength), g)
