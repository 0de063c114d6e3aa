"""A ResNet-12 with batch normalisation, learned by MAML on handwritten digits.

Four residual blocks of three 3x3 convolutions and a pooling, then a mean over what is left of the picture (Lee et al.
2019, "Meta-Learning with Differentiable Convex Optimization", section 4.1, without DropBlock). The paper's widths are
64, 160, 320, 640; these are small enough for a test. Each batch is normalised by its own statistics.
"""

from copy import deepcopy
from itertools import pairwise

import torch

import metaspec as ms
from metaspec import data

WIDTHS = (4, 8, 8, 16)
LR, STEPS, WAYS = 0.1, 2, 3
Tensors = dict[str, torch.Tensor]


class ResidualBlock(torch.nn.Module):
    """Three convolutions beside a convolution of one pixel, added, and the maximum of each two by two."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        channels = (inputs, outputs, outputs, outputs)
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(channels)
        )
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(outputs) for _ in range(3))
        self.shortcut = torch.nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut_norm = torch.nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            h = norm(convolution(h))
            if i < 2:
                h = torch.nn.functional.leaky_relu(h, 0.1)
        h = torch.nn.functional.leaky_relu(h + self.shortcut_norm(self.shortcut(x)), 0.1)
        return torch.nn.functional.max_pool2d(h, 2, ceil_mode=True)


class ResNet12(torch.nn.Module):
    """Pictures [N, H, W] -> scores [N, ways]."""

    def __init__(self, widths: tuple[int, ...], ways: int) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise((1, *widths))))
        self.out = torch.nn.Linear(widths[-1], ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.blocks(x[:, None]).mean((2, 3)))


def loss(net: torch.nn.Module, batch: Tensors) -> torch.Tensor:
    """Cross-entropy of the labels."""
    return torch.nn.functional.cross_entropy(net(batch["x"]), batch["y"].long())


def unrolled(model: ms.Model, task: ms.Task) -> list[torch.Tensor]:
    """The meta-gradient by PyTorch alone: backpropagation through the inner loop."""
    start = [p.detach().requires_grad_() for p in model.params.values()]
    theta = start
    for _ in range(STEPS):
        value = model.loss(dict(zip(model.params, theta, strict=True)), task.support)
        gradient = torch.autograd.grad(value, theta, create_graph=True)
        theta = [p - LR * g for p, g in zip(theta, gradient, strict=True)]
    value = model.loss(dict(zip(model.params, theta, strict=True)), task.query)
    return list(torch.autograd.grad(value, start))


def main(steps: int = 15) -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and query losses, means of a third."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ResNet12(WIDTHS, WAYS)
    model = ms.from_model(net, loss, running_statistics="leave")
    inner = ms.GradientDescent(LR, STEPS)
    source = data.FewShot(data.load_digits(), ways=WAYS, shots=2, queries=4)

    double = ms.from_model(deepcopy(net).double(), loss, running_statistics="leave")
    task = ms.asarray(source.task(0), dtype="float64", backend="torch")
    expected = torch.cat([g.ravel() for g in unrolled(double, task)])
    distances = {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        delta = ms.meta_gradient(algo, double.loss, double.params, task).delta
        error = torch.cat([delta[name].ravel() for name in double.params]) - expected
        distances[type(algo).__name__] = float(error.norm() / expected.norm())
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.01), []
    for step in range(steps):
        tasks = ms.asarray(source.batch(step, 4), backend="torch")
        r = ms.batch_meta_gradient(algo, model.loss, dict(net.named_parameters()), tasks)
        optimizer.zero_grad()
        r.query_loss.backward()
        optimizer.step()
        losses.append(float(r.query_loss.detach()))
    third = steps // 3
    history = [sum(losses[k : k + third]) / third for k in (0, third, 2 * third)]
    print(f"query loss after adaptation, {history[0]:.3f} -> {history[-1]:.3f}")
    return distances, history


if __name__ == "__main__":
    main()
