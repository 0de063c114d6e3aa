"""One specimen of each style in which PyTorch code is written, as docs/audit.md shows them."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss


class Network(nn.Module):
    """The user's own network: weights that are not transposed, in an order of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.out_bias = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.inner = nn.Parameter(torch.randn(3, 3, dtype=torch.float64))
        self.out = nn.Linear(3, 3, bias=False, dtype=torch.float64)
        self.inner_bias = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Any, weights: Any = None) -> Any:
        b2, w1, b1, w2 = self.weights() if weights is None else weights
        return torch.tanh(x @ w1 + b1) @ w2.T + b2

    def weights(self) -> list[Any]:
        return [self.out_bias, self.inner, self.inner_bias, self.out.weight]

    def parameters(self, recurse: bool = True) -> Any:
        return self.weights()


class Meta(nn.Module):
    """A class with its own network, optimiser and numbers; `forward` is a step of meta-training."""

    def __init__(self, create_graph: bool = True) -> None:
        super().__init__()
        self.net, self.update_lr, self.update_step, self.create_graph = Network(), 0.05, 2, create_graph
        self.meta_optim = torch.optim.Adam(self.net.parameters(), lr=0.001)

    def forward(self, x_spt: Any, y_spt: Any, x_qry: Any, y_qry: Any) -> float:
        losses = []
        for xs, ys, xq, yq in zip(x_spt, y_spt, x_qry, y_qry, strict=True):
            fast = self.net.weights()
            for _ in range(self.update_step):
                grads = torch.autograd.grad(mse_loss(self.net(xs, fast), ys), fast, create_graph=self.create_graph)
                fast = [w - self.update_lr * g for w, g in zip(fast, grads, strict=True)]
            losses.append(mse_loss(self.net(xq, fast), yq))
        loss = torch.stack(losses).mean()
        self.meta_optim.zero_grad()
        loss.backward()
        self.meta_optim.step()
        return loss.item()


class FirstOrderMeta(Meta):
    """`Meta` without second derivatives."""

    def __init__(self) -> None:
        super().__init__(create_graph=False)

    def forward(self, x_spt: Any, y_spt: Any, x_qry: Any, y_qry: Any) -> float:
        return super().forward(x_spt, y_spt, x_qry, y_qry)


class Module(nn.Module):
    """In Lightning's form: `training_step` returns the loss, which the trainer backpropagates."""

    def __init__(self, lr: float, steps: int) -> None:
        super().__init__()
        self.net, self.lr, self.steps = Network(), lr, steps

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        losses = []
        for xs, ys, xq, yq in zip(*batch, strict=True):
            fast = self.net.weights()
            for _ in range(self.steps):
                grads = torch.autograd.grad(mse_loss(self.net(xs, fast), ys), fast, create_graph=True)
                fast = [w - self.lr * g for w, g in zip(fast, grads, strict=True)]
            losses.append(mse_loss(self.net(xq, fast), yq))
        return {"loss": torch.stack(losses).mean()}


class Cloning:
    """A learner protocol: `clone` and `adapt`."""

    def __init__(self, module: Any, lr: float, weights: Any = None) -> None:
        self.module, self.lr = module, lr
        self.weights = dict(module.named_parameters()) if weights is None else weights

    def clone(self) -> "Cloning":
        return Cloning(self.module, self.lr, {name: w.clone() for name, w in self.weights.items()})

    def adapt(self, loss: Any) -> None:
        grads = torch.autograd.grad(loss, list(self.weights.values()), create_graph=True)
        pairs = zip(self.weights.items(), grads, strict=True)
        self.weights = {name: w - self.lr * g for (name, w), g in pairs}

    def __call__(self, x: Any) -> Any:
        return torch.func.functional_call(self.module, self.weights, (x,))


def by_clone_and_adapt(model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int) -> None:
    maml = Cloning(model, lr)
    for (xs, ys), (xq, yq) in tasks:
        learner = maml.clone()
        for _ in range(steps):
            learner.adapt(loss_fn(learner(xs), ys))
        (loss_fn(learner(xq), yq) / len(tasks)).backward()
