"""The cases' networks as `torch.nn` modules, and the names of their parameters in both worlds."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from metaspec.nn import MLP, ConvNet
from metaspec_benchmarks.benchmark_cases import BenchmarkCase


class TorchParameter(NamedTuple):
    """How a parameter of the module is called in the case, and how its axes lie there."""

    name: str
    to_torch: Callable[[torch.Tensor], torch.Tensor]
    to_case: Callable[[torch.Tensor], torch.Tensor]


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


SAME = (_same, _same)
TRANSPOSED = (torch.t, torch.t)
KERNEL = (lambda x: x.permute(3, 2, 0, 1), lambda x: x.permute(2, 3, 1, 0))


class TorchModel(NamedTuple):
    """A module with the case's parameters, its loss, and the way back.

    Attributes:
        module: Outputs for inputs.
        loss: (outputs, targets) -> scalar.
        leaves: By the module's names.
        support: (inputs, targets), a leading axis over tasks.
        query: Likewise.
    """

    module: nn.Module
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    leaves: dict[str, TorchParameter]
    support: tuple[torch.Tensor, torch.Tensor]
    query: tuple[torch.Tensor, torch.Tensor]

    def of_params(self, params: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of one task as a function of the module's parameters."""
        return self.loss(functional_call(self.module, dict(params), (x,)), y)

    def arrays(self, gradient: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """A gradient by the module's names, as NumPy arrays by the case's."""
        return {leaf.name: leaf.to_case(gradient[name].detach()).numpy() for name, leaf in self.leaves.items()}


def model(case: BenchmarkCase) -> TorchModel:
    """The case's network, starting where it starts."""
    module, leaves = _perceptron(case.network) if isinstance(case.network, MLP) else _convolutional(case.network)
    start = case.params()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            leaf = leaves[name]
            parameter.copy_(leaf.to_torch(torch.from_numpy(start[leaf.name])))
    classifies = not isinstance(case.network, MLP) or case.network.classifier
    support, query = (_tensors(case, part, classifies) for part in case.batch())
    return TorchModel(
        module, nn.functional.cross_entropy if classifies else nn.functional.mse_loss, leaves, support, query
    )


def _tensors(case: BenchmarkCase, part: Any, classifies: bool) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = torch.from_numpy(part["x"]), torch.from_numpy(part["y"])
    x = x.unsqueeze(2) if isinstance(case.network, ConvNet) else x  # [T, N, C, H, W]
    return x, y.long() if classifies else y


def _perceptron(network: MLP) -> tuple[nn.Module, dict[str, TorchParameter]]:
    layers: list[nn.Module] = []
    leaves: dict[str, TorchParameter] = {}
    for i, (inputs, outputs) in enumerate(zip(network.sizes, network.sizes[1:], strict=False)):
        leaves |= {
            f"{2 * i}.weight": TorchParameter(f"w{i}", *TRANSPOSED),
            f"{2 * i}.bias": TorchParameter(f"b{i}", *SAME),
        }
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), leaves


def _convolutional(network: ConvNet) -> tuple[nn.Module, dict[str, TorchParameter]]:
    """Convolutions of stride 2 with zeros as in the case: of an even length the one zero comes after."""
    layers: list[nn.Module] = []
    leaves: dict[str, TorchParameter] = {}
    side, channels = 28, network.channels
    for i in range(network.blocks):
        if side % 2:
            padding = [nn.Conv2d(channels, network.filters, 3, stride=2, padding=1, bias=False)]
        else:
            padding = [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, network.filters, 3, stride=2, bias=False)]
        layers += padding
        leaves[f"{len(layers) - 1}.weight"] = TorchParameter(f"kernel{i}", *KERNEL)
        leaves |= {
            f"{len(layers)}.{name}": TorchParameter(f"{ours}{i}", *SAME)
            for name, ours in (("weight", "scale"), ("bias", "shift"))
        }
        layers += [nn.BatchNorm2d(network.filters, eps=1e-3, track_running_stats=False), nn.ReLU()]
        side, channels = -(-side // 2), network.filters
    layers += [nn.AvgPool2d(side), nn.Flatten()]
    leaves |= {
        f"{len(layers)}.weight": TorchParameter("w", *TRANSPOSED),
        f"{len(layers)}.bias": TorchParameter("b", *SAME),
    }
    return nn.Sequential(*layers, nn.Linear(network.filters, network.ways)), leaves
