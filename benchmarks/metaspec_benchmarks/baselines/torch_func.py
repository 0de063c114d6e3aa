"""Hand-written PyTorch: `torch.func.grad` under `vmap`, also compiled."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.func import grad_and_value, vjp, vmap

from metaspec_benchmarks.baselines.torch_autograd import conjugate_gradients
from metaspec_benchmarks.baselines.torch_model import model
from metaspec_benchmarks.benchmark_cases import LONG, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

Gradient = tuple[dict[str, torch.Tensor], torch.Tensor]


def forms() -> list[TimedForm]:
    """Eager and compiled."""
    return [
        TimedForm("torch.func, vmap", "hand-written", partial(_build, False)),
        TimedForm("torch.func, vmap, torch.compile", "hand-written", partial(_build, True), slow=True),
    ]


def _build(compiled: bool, case: BenchmarkCase) -> Built | None:
    if compiled and case.steps > LONG:
        return None
    m = model(case)
    params = {name: leaf.detach() for name, leaf in m.module.named_parameters()}
    loss = m.of_params
    one = _maml(case, loss) if case.solver_steps is None else _imaml(case, loss)

    def mean(params: Any, *data: torch.Tensor) -> Gradient:
        gradients, values = vmap(one, in_dims=(None, 0, 0, 0, 0))(params, *data)
        return {name: leaf.mean(0) for name, leaf in gradients.items()}, values.mean()

    call = torch.compile(mean) if compiled else mean
    return Built(lambda: call(params, *m.support, *m.query), lambda found: m.arrays(found[0]))


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
