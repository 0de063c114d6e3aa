"""Hand-written PyTorch: `torch.autograd` around a loss of all tasks at once, and the loop over tasks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.func import vmap

from metaspec_benchmarks.baselines.torch_model import TorchModel, model
from metaspec_benchmarks.benchmark_cases import MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

Tensors = dict[str, torch.Tensor]
Gradient = tuple[Tensors, torch.Tensor]
Loss = Callable[..., torch.Tensor]
"""(params, x, y) -> the loss of a task, or those of all tasks."""


def forms() -> list[TimedForm]:
    """The loss alone batched, by `vmap` or written for stacks, and the loop over tasks that most code has."""
    return [
        TimedForm("torch.autograd, vmap of the loss", "hand-written", partial(_stacked, lambda m: vmap(m.of_params))),
        TimedForm("torch.autograd, loss of stacks", "hand-written", partial(_stacked, _loss_of_stacks)),
        TimedForm("torch, loop, create_graph", "hand-written", _loop),
    ]


def conjugate_gradients(matvec: Callable[[Any], Any], b: Any, steps: int, tasks: int = 0) -> Any:
    """X with A x = b after that many steps from zero; with `tasks` = 1 the first axis of every leaf is over tasks."""
    x, r, p = {name: torch.zeros_like(leaf) for name, leaf in b.items()}, b, b
    square = _dot(r, r, tasks)
    for _ in range(steps):
        Ap = matvec(p)
        alpha = square / _dot(p, Ap, tasks)
        x = {name: leaf + _like(alpha, leaf) * p[name] for name, leaf in x.items()}
        r = {name: leaf - _like(alpha, leaf) * Ap[name] for name, leaf in r.items()}
        before, square = square, _dot(r, r, tasks)
        p = {name: leaf + _like(square / before, leaf) * p[name] for name, leaf in r.items()}
    return x


def _dot(x: Any, y: Any, tasks: int) -> Any:
    return sum((leaf * y[name]).sum(tuple(range(tasks, leaf.ndim))) for name, leaf in x.items())


def _like(c: Any, leaf: torch.Tensor) -> Any:
    return c.reshape(c.shape + (1,) * (leaf.ndim - c.ndim))


def _loss_of_stacks(m: TorchModel) -> Loss | None:
    """The loss of a perceptron, its layers products of stacks; None for other networks."""
    layers = [name.removesuffix(".weight") for name in m.leaves if name.endswith(".weight")]
    if m.leaves[f"{layers[0]}.weight"].name != "w0":
        return None

    def losses(params: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            x = torch.baddbmm(params[f"{layer}.bias"].unsqueeze(1), x, params[f"{layer}.weight"].mT)
            x = x if layer == layers[-1] else x.relu()
        if m.loss is torch.nn.functional.mse_loss:
            return (x - y).square().mean((1, 2))
        return torch.nn.functional.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)

    return losses


def _stacked(loss_of: Callable[[TorchModel], Loss | None], case: BenchmarkCase) -> Built | None:
    m = model(case)
    losses = loss_of(m)
    if losses is None:
        return None
    one: Callable[..., Gradient] = _unrolled if case.solver_steps is None else partial(_implicit, tasks=1)

    def run() -> Gradient:
        params = {name: leaf.detach().requires_grad_() for name, leaf in m.module.named_parameters()}
        fast = {name: leaf.expand(case.tasks, *leaf.shape) for name, leaf in params.items()}
        found, value = one(case, losses, fast, m.support, m.query)
        mean = value.mean()
        if case.solver_steps is not None:
            return {name: leaf.mean(0) for name, leaf in found.items()}, mean.detach()
        return dict(zip(params, torch.autograd.grad(mean, list(params.values())), strict=True)), mean.detach()

    return Built(run, lambda found: m.arrays(found[0]))


def _loop(case: BenchmarkCase) -> Built | None:
    if case.tasks > MANY:
        return None
    m = model(case)

    def unrolled() -> Gradient:
        params = {name: leaf.detach().requires_grad_() for name, leaf in m.module.named_parameters()}
        total = torch.zeros(())
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            total = total + _unrolled(case, m.of_params, params, (xs, ys), (xq, yq))[1]
        mean = total / case.tasks
        return dict(zip(params, torch.autograd.grad(mean, list(params.values())), strict=True)), mean.detach()

    def implicit() -> Gradient:
        params = {name: leaf.detach() for name, leaf in m.module.named_parameters()}
        total, sums = torch.zeros(()), {name: torch.zeros_like(leaf) for name, leaf in params.items()}
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            found, value = _implicit(case, m.of_params, params, (xs, ys), (xq, yq))
            total, sums = total + value.detach(), {name: leaf + found[name] for name, leaf in sums.items()}
        return {name: leaf / case.tasks for name, leaf in sums.items()}, total / case.tasks

    return Built(unrolled if case.solver_steps is None else implicit, lambda found: m.arrays(found[0]))


def _unrolled(case: BenchmarkCase, loss: Loss, params: Tensors, support: Any, query: Any) -> Gradient:
    """The adapted parameters and the query loss, a function of `params` in autograd's graph."""
    for _ in range(case.steps):
        total = loss(params, *support).sum()
        gradients = torch.autograd.grad(total, list(params.values()), create_graph=True)
        params = {name: p - case.lr * g for (name, p), g in zip(params.items(), gradients, strict=True)}
    return params, loss(params, *query)


def _implicit(case: BenchmarkCase, loss: Loss, params: Tensors, support: Any, query: Any, tasks: int = 0) -> Gradient:
    """The solution of iMAML's system and the query loss."""

    def gradient(theta: Tensors, data: Any, graph: bool = False) -> tuple[Tensors, torch.Tensor]:
        value = loss(theta, *data)
        found = torch.autograd.grad(value.sum(), list(theta.values()), create_graph=graph)
        return dict(zip(theta, found, strict=True)), value

    theta = start = {name: leaf.detach().requires_grad_() for name, leaf in params.items()}
    for _ in range(case.steps):
        g, _ = gradient(theta, support)
        with torch.no_grad():
            theta = {
                name: (leaf - case.lr * (g[name] + case.regularization * (leaf - start[name]))).requires_grad_()
                for name, leaf in theta.items()
            }
    b, value = gradient(theta, query)
    g, _ = gradient(theta, support, graph=True)

    def matvec(v: Tensors) -> Tensors:
        Hv = torch.autograd.grad(list(g.values()), list(theta.values()), list(v.values()), retain_graph=True)
        return {name: leaf + H / case.regularization for (name, leaf), H in zip(v.items(), Hv, strict=True)}

    return conjugate_gradients(matvec, b, case.solver_steps or 0, tasks), value.detach()
