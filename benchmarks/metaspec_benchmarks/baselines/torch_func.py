"""Hand-written PyTorch: `torch.func.grad` under `vmap`, also compiled; autograd around the batched loss; the loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.func import functional_call, grad_and_value, vjp, vmap

from metaspec_benchmarks.baselines.torch_model import TorchModel, model
from metaspec_benchmarks.benchmark_cases import LONG, MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

Gradient = tuple[dict[str, torch.Tensor], torch.Tensor]


def forms() -> list[TimedForm]:
    """Eager, compiled, autograd with only the loss batched, and the loop over tasks that most code has."""
    return [
        TimedForm("torch.func, vmap", "hand-written", partial(_build, False)),
        TimedForm("torch.func, vmap, torch.compile", "hand-written", partial(_build, True), slow=True),
        TimedForm("torch.autograd, vmap of the loss", "hand-written", _batched_loss),
        TimedForm("torch, loop, create_graph", "hand-written", _loop),
    ]


def _build(compiled: bool, case: BenchmarkCase) -> Built | None:
    if compiled and case.steps > LONG:
        return None
    m = model(case)
    params = {name: leaf.detach() for name, leaf in m.module.named_parameters()}
    loss = _loss(m)
    one = _maml(case, loss) if case.solver_steps is None else _imaml(case, loss)

    def mean(params: Any, *data: torch.Tensor) -> Gradient:
        gradients, values = vmap(one, in_dims=(None, 0, 0, 0, 0))(params, *data)
        return {name: leaf.mean(0) for name, leaf in gradients.items()}, values.mean()

    call = torch.compile(mean) if compiled else mean
    return Built(lambda: call(params, *m.support, *m.query), lambda found: m.arrays(found[0]))


def _loss(m: TorchModel) -> Callable[..., torch.Tensor]:
    return lambda params, x, y: m.loss(functional_call(m.module, params, (x,)), y)


def _maml(case: BenchmarkCase, loss: Callable[..., torch.Tensor]) -> Callable[..., Gradient]:
    def query_loss(params: Any, xs: Any, ys: Any, xq: Any, yq: Any) -> torch.Tensor:
        for _ in range(case.steps):
            gradient, _ = grad_and_value(loss)(params, xs, ys)
            params = {name: leaf - case.lr * gradient[name] for name, leaf in params.items()}
        return loss(params, xq, yq)

    return grad_and_value(query_loss)


def _imaml(case: BenchmarkCase, loss: Callable[..., torch.Tensor]) -> Callable[..., Gradient]:
    def solved(params: Any, xs: Any, ys: Any, xq: Any, yq: Any) -> Gradient:
        theta = params
        for _ in range(case.steps):
            gradient, _ = grad_and_value(loss)(theta, xs, ys)
            theta = {
                name: leaf - case.lr * (gradient[name] + case.regularization * (leaf - params[name]))
                for name, leaf in theta.items()
            }
        b, value = grad_and_value(loss)(theta, xq, yq)
        _, product = vjp(lambda theta: grad_and_value(loss)(theta, xs, ys)[0], theta)

        def matvec(v: Any) -> Any:
            Hv = product(v)[0]
            return {name: leaf + Hv[name] / case.regularization for name, leaf in v.items()}

        return conjugate_gradients(matvec, b, case.solver_steps or 0), value

    return solved


def conjugate_gradients(matvec: Callable[[Any], Any], b: Any, steps: int) -> Any:
    """X with A x = b after that many steps from zero."""
    x, r, p = {name: torch.zeros_like(leaf) for name, leaf in b.items()}, b, b
    square = _dot(r, r)
    for _ in range(steps):
        Ap = matvec(p)
        alpha = square / _dot(p, Ap)
        x = {name: leaf + alpha * p[name] for name, leaf in x.items()}
        r = {name: leaf - alpha * Ap[name] for name, leaf in r.items()}
        before, square = square, _dot(r, r)
        p = {name: leaf + (square / before) * p[name] for name, leaf in r.items()}
    return x


def _dot(x: Any, y: Any) -> Any:
    return sum((leaf * y[name]).sum() for name, leaf in x.items())


def _batched_loss(case: BenchmarkCase) -> Built | None:
    if case.solver_steps is not None:
        return None
    m = model(case)
    losses = vmap(_loss(m))

    def run() -> Gradient:
        params = {name: leaf.detach().requires_grad_() for name, leaf in m.module.named_parameters()}
        fast = {name: leaf.expand(case.tasks, *leaf.shape) for name, leaf in params.items()}
        for _ in range(case.steps):
            total = losses(fast, *m.support).sum()
            gradients = torch.autograd.grad(total, list(fast.values()), create_graph=True)
            fast = {name: p - case.lr * g for (name, p), g in zip(fast.items(), gradients, strict=True)}
        mean = losses(fast, *m.query).mean()
        return dict(zip(params, torch.autograd.grad(mean, list(params.values())), strict=True)), mean.detach()

    return Built(run, lambda found: m.arrays(found[0]))


def _loop(case: BenchmarkCase) -> Built | None:
    if case.solver_steps is not None or case.tasks > MANY:
        return None
    m = model(case)
    loss = _loss(m)

    def run() -> Gradient:
        params = {name: leaf.detach().requires_grad_() for name, leaf in m.module.named_parameters()}
        total = torch.zeros(())
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            fast = params
            for _ in range(case.steps):
                gradients = torch.autograd.grad(loss(fast, xs, ys), list(fast.values()), create_graph=True)
                fast = {name: p - case.lr * g for (name, p), g in zip(fast.items(), gradients, strict=True)}
            total = total + loss(fast, xq, yq)
        mean = total / case.tasks
        return dict(zip(params, torch.autograd.grad(mean, list(params.values())), strict=True)), mean.detach()

    return Built(run, lambda found: m.arrays(found[0]))
