"""Which member of the family a PyTorch library computes, held against metaspec: the table in docs/family.md.

python -m metaspec_benchmarks.family_libraries

A line for each library and member: the largest relative error of a parameter's meta-gradient (norm-wise, float64), or
why there is none. Two inner steps on a small tanh network; the libraries are called as their documentation shows.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.functional import mse_loss

import metaspec as ms

LR, STEPS, HEAD = 0.1, 2, ("2.weight", "2.bias")
Member = Callable[[torch.nn.Sequential, Any, Any], dict[str, torch.Tensor]]
"""(network, support, query) -> the meta-gradient by parameter's name."""


def network() -> torch.nn.Sequential:
    """Return the network, the same each time."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()


def data() -> tuple[Any, Any]:
    """Return support and query set."""
    torch.manual_seed(1)
    support, query = ((torch.randn(5, 3).double(), torch.randn(5, 2).double()) for _ in range(2))
    return support, query


def main() -> None:
    """Print the table."""
    support, query = data()
    for library, members in (("higher", _higher()), ("torchopt", _torchopt()), ("learn2learn", _learn2learn())):
        if find_spec(library) is None:
            print(f"| {library} | not installed | |")
            continue
        for name, algo, member in members:
            try:
                found = _error(member(network(), support, query), _ours(algo, support, query))
            except Exception as error:  # a library's failure is a line of the table
                found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            print(f"| {library} | {name} | {found} |", flush=True)


def _ours(algo: Any, support: Any, query: Any) -> dict[str, torch.Tensor]:
    model = ms.from_model(network(), lambda model, batch: mse_loss(model(batch[0]), batch[1]))
    delta = ms.meta_gradient(algo, model.loss, algo.init(model.params), ms.Task(support, query)).delta
    return delta.params if isinstance(delta, ms.Meta) else delta


def _error(found: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> str:
    errors = {name: float((found[name] - x).norm() / (x.norm() + 1e-300)) for name, x in truth.items()}
    name = max(errors, key=lambda name: errors[name])
    return f"{errors[name]:.1e}" + (f" in {name}" if errors[name] > 1e-10 else "")


def _gradients(net: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in net.named_parameters()}


def _higher() -> Iterator[tuple[str, Any, Member]]:
    def through(make: Callable[[Any], Any]) -> Member:
        def member(net: Any, support: Any, query: Any) -> dict[str, torch.Tensor]:
            import higher

            with higher.innerloop_ctx(net, make(net.parameters()), copy_initial_weights=False) as (fmodel, diffopt):
                for _ in range(STEPS):
                    diffopt.step(mse_loss(fmodel(support[0]), support[1]))
                return _gradients(net, mse_loss(fmodel(query[0]), query[1]))

        return member

    optim = torch.optim
    yield "MAML", ms.MAML(ms.GradientDescent(LR, STEPS)), through(lambda p: optim.SGD(p, LR))
    yield "Momentum", ms.MAML(ms.Momentum(LR, STEPS)), through(lambda p: optim.SGD(p, LR, momentum=0.9))
    nesterov = ms.MAML(ms.Momentum(LR, STEPS, nesterov=True))
    yield "Nesterov", nesterov, through(lambda p: optim.SGD(p, LR, momentum=0.9, nesterov=True))
    yield "Adam", ms.MAML(ms.Adam(LR, STEPS)), through(lambda p: optim.Adam(p, LR))
    yield "AMSGrad", ms.MAML(ms.Adam(LR, STEPS, amsgrad=True)), through(lambda p: optim.Adam(p, LR, amsgrad=True))
    yield "AdamW", ms.MAML(ms.Adam(LR, STEPS, decay=0.01)), through(lambda p: optim.AdamW(p, LR, weight_decay=0.01))
    yield "RMSProp", ms.MAML(ms.RMSProp(LR, STEPS)), through(lambda p: optim.RMSprop(p, LR))
    yield "AdaGrad", ms.MAML(ms.AdaGrad(LR, STEPS)), through(lambda p: optim.Adagrad(p, LR))
    yield "Adadelta", ms.MAML(ms.Adadelta(1.0, STEPS)), through(lambda p: optim.Adadelta(p, 1.0))


def _torchopt() -> Iterator[tuple[str, Any, Member]]:
    def through(kind: str, **options: Any) -> Member:
        def member(net: Any, support: Any, query: Any) -> dict[str, torch.Tensor]:
            import torchopt

            start = dict(net.named_parameters())
            optimizer = getattr(torchopt, kind)(net, **options)
            for _ in range(STEPS):
                optimizer.step(mse_loss(net(support[0]), support[1]))
            grads = torch.autograd.grad(mse_loss(net(query[0]), query[1]), list(start.values()))
            return dict(zip(start, grads, strict=True))

        return member

    yield "MAML", ms.MAML(ms.GradientDescent(LR, STEPS)), through("MetaSGD", lr=LR)
    yield "Momentum", ms.MAML(ms.Momentum(LR, STEPS)), through("MetaSGD", lr=LR, momentum=0.9)
    yield (
        "Nesterov",
        ms.MAML(ms.Momentum(LR, STEPS, nesterov=True)),
        through("MetaSGD", lr=LR, momentum=0.9, nesterov=True),
    )
    yield "Adam", ms.MAML(ms.Adam(LR, STEPS)), through("MetaAdam", lr=LR)
    yield "AdamW", ms.MAML(ms.Adam(LR, STEPS, decay=0.01)), through("MetaAdamW", lr=LR, weight_decay=0.01)
    yield "RMSProp", ms.MAML(ms.RMSProp(LR, STEPS)), through("MetaRMSProp", lr=LR)
    yield "AdaGrad", ms.MAML(ms.AdaGrad(LR, STEPS)), through("MetaAdaGrad", lr=LR)
    yield "Adadelta", ms.MAML(ms.Adadelta(1.0, STEPS)), through("MetaAdadelta", lr=1.0)


def _learn2learn() -> Iterator[tuple[str, Any, Member]]:
    def through(wrap: Callable[[Any, Any], Any]) -> Member:
        def member(net: Any, support: Any, query: Any) -> dict[str, torch.Tensor]:
            import learn2learn as l2l

            learner = wrap(l2l, net).clone()
            for _ in range(STEPS):
                learner.adapt(mse_loss(learner(support[0]), support[1]))
            return _gradients(net, mse_loss(learner(query[0]), query[1]))

        return member

    def anil(net: Any, support: Any, query: Any) -> dict[str, torch.Tensor]:
        import learn2learn as l2l

        head = l2l.algorithms.MAML(net[2], lr=LR).clone()
        for _ in range(STEPS):
            head.adapt(mse_loss(head(net[:2](support[0])), support[1]))
        return _gradients(net, mse_loss(head(net[:2](query[0])), query[1]))

    def curvature(l2l: Any, net: Any) -> Any:
        transform = l2l.optim.transforms.MetaCurvatureTransform
        return l2l.algorithms.GBML(net, transform=transform, lr=LR, adapt_transform=False)

    inner = ms.GradientDescent(LR, STEPS)
    yield "MAML", ms.MAML(inner), through(lambda l2l, net: l2l.algorithms.MAML(net, lr=LR))
    yield "FO-MAML", ms.FOMAML(inner), through(lambda l2l, net: l2l.algorithms.MAML(net, lr=LR, first_order=True))
    yield "Meta-SGD", ms.MetaSGD(LR, STEPS), through(lambda l2l, net: l2l.algorithms.MetaSGD(net, lr=LR))
    yield "ANIL", ms.ANIL(inner, HEAD), anil
    yield "Meta-Curvature", ms.MAML(ms.MetaCurvature(inner, channels="first")), through(curvature)


if __name__ == "__main__":
    main()
