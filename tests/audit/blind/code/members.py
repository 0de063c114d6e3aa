"""Members of the family and slips in them: one inner loop, unrolled and differentiated by any framework.

It knows nothing of chains of Hessian-vector products: each framework backpropagates through the loop as it stands.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LISTED = (1.0, 2.0, 0.4, 1.4, 0.6)
BY_LEAF = {"b1": 2.0, "b2": 1.0, "w1": 0.5, "w2": 1.3}


def plain_rate(lr: float, k: int, steps: int, name: str) -> Any:
    return lr


def descend(g: Any, state: Any, k: int, sqrt: Any) -> Any:
    return g, state


def momentum(mu: float, damped: bool = False, nesterov: bool = False) -> Any:
    def rule(g: Any, state: Any, k: int, sqrt: Any) -> Any:
        m = (0 if state is None else mu * state) + ((1 - mu) * g if damped else g)
        return (g + mu * m if nesterov else m), m

    return rule


def adam(b1: float, b2: float, eps: float = 1e-8) -> Any:
    def rule(g: Any, state: Any, k: int, sqrt: Any) -> Any:
        m, v = state or (0, 0)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return (m / (1 - b1 ** (k + 1))) / (sqrt(v / (1 - b2 ** (k + 1))) + eps), (m, v)

    return rule


def rmsprop(rho: float) -> Any:
    def rule(g: Any, state: Any, k: int, sqrt: Any) -> Any:
        v = (0 if state is None else rho * state) + (1 - rho) * g * g
        return g / (sqrt(v) + 1e-8), v

    return rule


def adagrad(g: Any, state: Any, k: int, sqrt: Any) -> Any:
    v = (0 if state is None else state) + g * g
    return g / (sqrt(v) + 1e-10), v


@dataclass(frozen=True)
class Loop:
    """What deviates from MAML's loop, and how the tasks are combined."""

    rate: Callable[..., Any] = plain_rate
    rule: Callable[..., Any] = descend
    moves: tuple[str, ...] = ("b1", "b2", "w1", "w2")
    from_zero: bool = False
    weights: Callable[[int], list[float]] = lambda steps: [0.0] * (steps - 1) + [1.0]
    detached_before: Callable[[int], int] = lambda steps: 0
    first_order: bool = False
    shrink: float = 1.0
    minibatch: int = 0
    decay: float = 0.0
    pull: dict[str, float] = field(default_factory=dict)
    finish: Callable[[dict[str, Any], dict[str, Any], Any], dict[str, Any]] = lambda delta, params, sqrt: delta
    total: bool = False


def objective(loop: Loop, tool: Any, loss: Any, params: Any, task: Any, lr: float, steps: int) -> Any:
    """The query loss after the inner loop, as a function of `params`."""
    (support, query), weights = task, loop.weights(steps)
    start = {n: 0 * p if loop.from_zero and n in loop.moves else loop.shrink * p for n, p in params.items()}
    theta, state, value = start, dict.fromkeys(params), 0.0
    for k in range(steps):
        size, batch = loop.minibatch, support
        if size:
            rows = [i % len(support[0]) for i in range(k * size, k * size + size)]
            batch = type(support)(*(tool.rows(a, rows) for a in support))
        g = tool.grad(lambda t, batch=batch: loss(t, batch), theta)
        moved = {}
        for n, p in theta.items():
            d = g[n] + loop.decay * p + loop.pull.get(n, 0.0) * (p - start[n])
            d = tool.detach(d) if loop.first_order or k < loop.detached_before(steps) else d
            u, state[n] = loop.rule(d, state[n], k, tool.sqrt)
            moved[n] = p - loop.rate(lr, k, steps, n) * u if n in loop.moves else p
        theta = moved
        if weights[k]:
            value = value + weights[k] * loss(theta, query)
    return value


def implementation(loop: Loop, tool: Any) -> Any:
    """The meta-gradient as a function that an audit calls."""

    def meta_gradient(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
        def outer(p: Any) -> Any:
            values = [objective(loop, tool, loss, p, task, lr, steps) for task in tasks]
            return sum(values[1:], values[0]) / (1 if loop.total else len(tasks))

        return loop.finish(tool.outer(outer, params), params, tool.sqrt)

    return meta_gradient


class Torch:
    """PyTorch."""

    def __init__(self) -> None:
        import torch

        self.torch, self.sqrt = torch, torch.sqrt

    def grad(self, f: Any, theta: Any) -> Any:
        live = {n: p if p.requires_grad else p.requires_grad_() for n, p in theta.items()}
        found = self.torch.autograd.grad(f(live), list(live.values()), create_graph=True)
        return dict(zip(live, found, strict=True))

    def outer(self, f: Any, params: Any) -> Any:
        live = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
        found = self.torch.autograd.grad(f(live), list(live.values()), allow_unused=True, materialize_grads=True)
        return {n: g.detach() for n, g in zip(live, found, strict=True)}

    def detach(self, x: Any) -> Any:
        return x.detach()

    def rows(self, x: Any, rows: list[int]) -> Any:
        return x[rows]


class Jax:
    """JAX."""

    def __init__(self) -> None:
        import jax

        self.jax, self.sqrt = jax, jax.numpy.sqrt
        self.detach = jax.lax.stop_gradient

    def grad(self, f: Any, theta: Any) -> Any:
        return self.jax.grad(f)(theta)

    def outer(self, f: Any, params: Any) -> Any:
        return self.jax.grad(f)(params)

    def rows(self, x: Any, rows: list[int]) -> Any:
        return x[self.jax.numpy.array(rows)]


class TensorFlow:
    """TensorFlow."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.tf, self.sqrt, self.detach = tf, tf.sqrt, tf.stop_gradient

    def grad(self, f: Any, theta: Any) -> Any:
        with self.tf.GradientTape() as tape:
            tape.watch(theta)
            value = f(theta)
        return tape.gradient(value, theta, unconnected_gradients="zero")

    outer = grad

    def rows(self, x: Any, rows: list[int]) -> Any:
        return self.tf.gather(x, rows)
