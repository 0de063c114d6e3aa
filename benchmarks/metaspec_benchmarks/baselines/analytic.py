"""Hand-derived NumPy for perceptrons: the gradient and the R-operator (Pearlmutter 1994), batched over tasks.

z_i = h_i W_i + b_i,  h_{i+1} = relu(z_i);   d_i the loss's derivative in z_i, R{.} the derivative along a direction V
grad W_i = h_i' d_i,                 R{grad W_i} = R{h_i}' d_i + h_i' R{d_i}
d_{i-1} = (d_i W_i') [z_{i-1} > 0],  R{d_{i-1}} = (R{d_i} W_i' + d_i V_i') [z_{i-1} > 0]
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from metaspec.nn import MLP
from metaspec_benchmarks.benchmark_cases import BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

SMALL, LEAST = 1 << 20, 4  # bytes of parameters, and tasks, of a small batch

Params = list[Any]  # W_0, b_0, W_1, b_1, ..., each with a leading axis over tasks; biases [T, 1, F]


@dataclass(frozen=True)
class Kept:
    """What a gradient computed on its way and products need again."""

    weights: Params
    inputs: list[Any]
    masks: list[Any]
    deltas: list[Any]
    output_product: Callable[[Any], Any]
    losses: Any


def forms() -> list[TimedForm]:
    """All tasks in one batch, and in batches whose parameters fit the caches."""
    return [
        TimedForm("NumPy, hand-derived, batched", "hand-written", partial(_build, False)),
        TimedForm("NumPy, hand-derived, in small batches", "hand-written", partial(_build, True)),
    ]


def _build(small: bool, case: BenchmarkCase) -> Built | None:
    together = max(LEAST, SMALL // (4 * case.parameters)) if small else case.tasks
    if not isinstance(case.network, MLP) or (small and together >= case.tasks):
        return None
    layers = range(len(case.network.sizes) - 1)
    start = case.params()
    flat: Params = [leaf for i in layers for leaf in (start[f"w{i}"][None], start[f"b{i}"][None, None])]
    parts = [
        tuple({name: leaf[i : i + together] for name, leaf in part.items()} for part in case.batch())
        for i in range(0, case.tasks, together)
    ]
    loss = _cross_entropy if case.network.classifier else _squares
    lr = np.float32(case.lr)

    def maml(support: Any, query: Any) -> tuple[Params, Any]:
        theta, path = [np.repeat(leaf, len(support["x"]), axis=0) for leaf in flat], []
        for _ in range(case.steps):
            gradient, kept = _gradient(theta, support, loss)
            path.append(kept)
            theta = [p - lr * g for p, g in zip(theta, gradient, strict=True)]
        v, last = _gradient(theta, query, loss)
        while path:
            product = _product(path.pop(), v)
            v = [a - lr * b for a, b in zip(v, product, strict=True)]
        return v, last.losses

    def imaml(support: Any, query: Any) -> tuple[Params, Any]:
        strength = np.float32(case.regularization)
        theta = [np.repeat(leaf, len(support["x"]), axis=0) for leaf in flat]
        for _ in range(case.steps):
            gradient, _ = _gradient(theta, support, loss)
            theta = [p - lr * (g + strength * (p - p0)) for p, g, p0 in zip(theta, gradient, flat, strict=True)]
        _, kept = _gradient(theta, support, loss)
        b, last = _gradient(theta, query, loss)

        def matvec(v: Params) -> Params:
            return [a + h / strength for a, h in zip(v, _product(kept, v), strict=True)]

        x = _conjugate_gradients(matvec, b, case.solver_steps or 0)
        return x, last.losses

    algorithm = maml if case.solver_steps is None else imaml

    def run() -> tuple[Params, Any]:
        sums: Params = []
        total = np.float32(0)
        for support, query in parts:
            gradient, losses = algorithm(support, query)
            here = [leaf.sum(axis=0) for leaf in gradient]
            sums = [a + b for a, b in zip(sums, here, strict=True)] if sums else here
            total += losses.sum()
        return [leaf / np.float32(case.tasks) for leaf in sums], total / np.float32(case.tasks)

    def arrays(found: Any) -> dict[str, Any]:
        values = found[0]
        return {
            name: leaf for i in layers for name, leaf in ((f"w{i}", values[2 * i]), (f"b{i}", values[2 * i + 1][0]))
        }

    return Built(run, arrays)


def _gradient(params: Params, batch: Any, loss: Callable[..., Any]) -> tuple[Params, Kept]:
    h, inputs, masks = batch["x"], [], []
    layers = len(params) // 2
    for i in range(layers):
        inputs.append(h)
        h = h @ params[2 * i]
        h += params[2 * i + 1]
        if i < layers - 1:
            masks.append(h > 0)
            h *= masks[-1]
    losses, delta, output_product = loss(h, batch["y"])
    gradient: Params = [None] * len(params)
    deltas: list[Any] = [None] * layers
    for i in reversed(range(layers)):
        deltas[i] = delta
        gradient[2 * i] = inputs[i].swapaxes(1, 2) @ delta
        gradient[2 * i + 1] = delta.sum(axis=1, keepdims=True)
        if i:
            delta = delta @ params[2 * i].swapaxes(1, 2)
            delta *= masks[i - 1]
    return gradient, Kept(params, inputs, masks, deltas, output_product, losses)


def _product(kept: Kept, v: Params) -> Params:
    layers = len(kept.inputs)
    r: Any = None
    changes: list[Any] = []
    for i in range(layers):
        changes.append(r)
        z = kept.inputs[i] @ v[2 * i]
        z += v[2 * i + 1]
        if r is not None:
            z += r @ kept.weights[2 * i]
        r = z if i == layers - 1 else np.multiply(z, kept.masks[i], out=z)
    r = kept.output_product(r)
    product: Params = [None] * len(v)
    for i in reversed(range(layers)):
        product[2 * i] = kept.inputs[i].swapaxes(1, 2) @ r
        if changes[i] is not None:
            product[2 * i] += changes[i].swapaxes(1, 2) @ kept.deltas[i]
        product[2 * i + 1] = r.sum(axis=1, keepdims=True)
        if i:
            r = r @ kept.weights[2 * i].swapaxes(1, 2)
            r += kept.deltas[i] @ v[2 * i].swapaxes(1, 2)
            r *= kept.masks[i - 1]
    return product


def _squares(outputs: Any, targets: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
    """The loss of each task, its derivative in the outputs, and the product with its second derivative."""
    difference = outputs - targets
    factor = np.float32(2 / (outputs.shape[1] * outputs.shape[2]))
    return (difference**2).mean(axis=(1, 2)), factor * difference, lambda r: factor * r


def _cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = exponentials / exponentials.sum(axis=-1, keepdims=True)
    n = np.float32(logits.shape[1])
    chosen = labels[..., None] == np.arange(logits.shape[-1])
    losses = -np.log(p[chosen]).reshape(labels.shape).mean(axis=1)
    return losses, (p - chosen) / n, lambda r: p * (r - (p * r).sum(axis=-1, keepdims=True)) / n


def _conjugate_gradients(matvec: Callable[[Params], Params], b: Params, steps: int) -> Params:
    """For each task its own coefficients."""
    x, r, p = [np.zeros_like(leaf) for leaf in b], b, b
    square = _dot(r, r)
    for _ in range(steps):
        Ap = matvec(p)
        alpha = square / _dot(p, Ap)
        x = [a + alpha * c for a, c in zip(x, p, strict=True)]
        r = [a - alpha * c for a, c in zip(r, Ap, strict=True)]
        before, square = square, _dot(r, r)
        p = [a + (square / before) * c for a, c in zip(r, p, strict=True)]
    return x


def _dot(x: Params, y: Params) -> Any:
    return sum(np.einsum("tij,tij->t", a, b) for a, b in zip(x, y, strict=True))[:, None, None]
