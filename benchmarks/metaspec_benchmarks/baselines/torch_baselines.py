"""PyTorch's meta-learning libraries, each as its own documentation shows it."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch

from metaspec_benchmarks.baselines.torch_model import TorchModel, model
from metaspec_benchmarks.benchmark_cases import BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

ONE_BY_ONE = 100  # tasks beyond which a loop over them is not worth the wait


def forms() -> list[TimedForm]:
    """All of them loop over tasks."""
    return [
        TimedForm("higher", "library", _higher, (("higher", "higher"),)),
        TimedForm("torchopt, MetaSGD", "library", _torchopt, (("torchopt", "torchopt"),)),
        TimedForm("torchopt, implicit", "library", _torchopt_implicit, (("torchopt", "torchopt"),)),
        TimedForm("learn2learn", "library", _learn2learn, (("learn2learn", "learn2learn"),)),
    ]


def _applies(case: BenchmarkCase, *, implicit: bool) -> bool:
    return case.tasks <= ONE_BY_ONE and (case.solver_steps is not None) is implicit


def _finished(m: TorchModel, total: torch.Tensor) -> Any:
    """The gradients that `backward` left, taken off again."""
    found = {name: parameter.grad for name, parameter in m.module.named_parameters()}
    m.module.zero_grad(set_to_none=True)
    return found, total


def _higher(case: BenchmarkCase) -> Built | None:
    if not _applies(case, implicit=False):
        return None
    import higher

    m = model(case)
    optimizer = torch.optim.SGD(m.module.parameters(), lr=case.lr)

    def run() -> Any:
        total = torch.zeros(())
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            with higher.innerloop_ctx(m.module, optimizer, copy_initial_weights=False) as (net, steps):
                for _ in range(case.steps):
                    steps.step(m.loss(net(xs), ys))
                loss = m.loss(net(xq), yq) / case.tasks
                total += loss.detach()
                loss.backward()
        return _finished(m, total)

    return Built(run, lambda found: m.arrays(found[0]))


def torchopt_members(case: BenchmarkCase) -> Iterator[tuple[str, Callable[[], Any]]]:
    """MAML with torchopt's differentiable optimisers, where it is installed."""
    if find_spec("torchopt") is None:
        return
    for name, kind, more in (
        ("torchopt descent", "MetaSGD", {"lr": case.lr}),
        ("torchopt Momentum", "MetaSGD", {"lr": case.lr, "momentum": 0.9}),
        ("torchopt Adam", "MetaAdam", {"lr": case.lr / 10}),
    ):
        built = _torchopt(case, kind, **more)
        if built is not None:
            yield name, built.run


def _torchopt(case: BenchmarkCase, kind: str = "MetaSGD", **options: float) -> Built | None:
    if not _applies(case, implicit=False):
        return None
    import torchopt

    m = model(case)
    optimizer = getattr(torchopt, kind)(m.module, **(options or {"lr": case.lr}))

    def run() -> Any:
        losses = []
        start = torchopt.extract_state_dict(m.module, by="reference")
        state = torchopt.extract_state_dict(optimizer, by="reference")
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            for _ in range(case.steps):
                optimizer.step(m.loss(m.module(xs), ys))
            losses.append(m.loss(m.module(xq), yq))
            torchopt.recover_state_dict(m.module, start)
            torchopt.recover_state_dict(optimizer, state)
        total = torch.mean(torch.stack(losses))
        total.backward()
        return _finished(m, total.detach())

    return Built(run, lambda found: m.arrays(found[0]))


def _torchopt_implicit(case: BenchmarkCase) -> Built | None:
    if not _applies(case, implicit=True):
        return None
    import torchopt

    m = model(case)
    solve = torchopt.linear_solve.solve_cg(maxiter=case.solver_steps, rtol=0.0, atol=0.0)

    class Inner(torchopt.nn.ImplicitMetaGradientModule, linear_solve=solve):  # type: ignore[call-arg]
        def __init__(self, meta: torch.nn.Module) -> None:
            super().__init__()
            self.meta = meta
            self.net = torchopt.module_clone(meta, by="deepcopy", detach_buffers=True)

        def objective(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            pairs = zip(self.net.parameters(), self.meta.parameters(), strict=True)
            near = sum(torch.sum((p - q) ** 2) for p, q in pairs)
            return m.loss(self.net(x), y) + 0.5 * case.regularization * near

        def solve(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            parameters = tuple(self.net.parameters())
            optimizer = torch.optim.SGD(parameters, lr=case.lr)
            with torch.enable_grad():
                for _ in range(case.steps):
                    optimizer.zero_grad()
                    self.objective(x, y).backward(inputs=parameters)
                    optimizer.step()
            return self

    def run() -> Any:
        losses = []
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            inner = Inner(m.module)
            inner.solve(xs, ys)
            losses.append(m.loss(inner.net(xq), yq))
        total = torch.mean(torch.stack(losses))
        total.backward()
        return _finished(m, total.detach())

    return Built(run, lambda found: m.arrays(found[0]))


def _learn2learn(case: BenchmarkCase) -> Built | None:
    if not _applies(case, implicit=False):
        return None
    import learn2learn

    m = model(case)
    maml = learn2learn.algorithms.MAML(m.module, lr=case.lr)

    def run() -> Any:
        total = torch.zeros(())
        for xs, ys, xq, yq in zip(*m.support, *m.query, strict=True):
            learner = maml.clone()
            for _ in range(case.steps):
                learner.adapt(m.loss(learner(xs), ys))
            loss = m.loss(learner(xq), yq) / case.tasks
            total += loss.detach()
            loss.backward()
        return _finished(m, total)

    return Built(run, lambda found: m.arrays(found[0]))
