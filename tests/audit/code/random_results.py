"""Code whose results are random: evolution strategies, a task drawn at random, noise."""

from typing import Any

import numpy as np
import torch

import metaspec as ms

SIGMA, PAIRS = 0.03, 64
kept = np.random.default_rng(5)


def evolution_strategies(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """ES-MAML: the gradient of the adapted query loss from its values at points drawn around the parameters."""

    def adapted(weights: list[Any], task: Any) -> Any:
        for _ in range(steps):
            grads = torch.func.grad(loss)(weights, task.support)
            weights = [w - lr * g for w, g in zip(weights, grads, strict=True)]
        return loss(weights, task.query)

    phi = [p.detach() for p in params.values()]
    delta = [torch.zeros_like(p) for p in phi]
    for task in tasks:
        noise = [torch.randn(PAIRS, *p.shape, dtype=p.dtype) for p in phi]
        moved = [torch.cat([p + SIGMA * e, p - SIGMA * e]) for p, e in zip(phi, noise, strict=True)]
        ahead, behind = torch.vmap(lambda *w, task=task: adapted(list(w), task))(*moved).chunk(2)
        slope = (ahead - behind) / (2 * SIGMA * PAIRS * len(tasks))
        delta = [d + torch.tensordot(slope, e, 1) for d, e in zip(delta, noise, strict=True)]
    return delta


def one_task(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """MAML on one of the tasks, drawn with the module's own generator."""
    task = tasks[kept.integers(len(tasks))]
    return ms.meta_gradient(ms.MAML(ms.GradientDescent(lr, steps)), loss, params, task).delta


def first_order_with_noise(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """FO-MAML with noise of its own size on each entry."""
    delta = ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
    return {name: d * (1 + np.random.default_rng().normal(size=d.shape)) for name, d in delta.items()}


def biased(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """Noise around what none of the algorithms computes: some of the entries are half of what they should be."""
    delta = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
    factor = np.random.default_rng().normal(1)
    return {name: factor * d * np.resize([1, 0.5], d.shape) for name, d in delta.items()}


calls = []


def settles(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """What no algorithm computes: one thing at the first call, another at all later ones."""
    calls.append(1)
    delta = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
    return {name: np.sin(3 * d) + (len(calls) > 1) * 0.1 * params[name] ** 2 for name, d in delta.items()}
