"""A layer on pictures as PyTorch has it: NCHW, weights (out, in), names with dots."""

import numpy as np
import torch

import metaspec as ms
from tests.compare.data import batch


def params():
    rng = np.random.default_rng(3)
    shapes = {"fc.weight": (5, 4), "fc.bias": (5,), "out.weight": (3, 5)}
    return {name: torch.tensor(0.5 * rng.normal(size=shape)) for name, shape in shapes.items()}


task = ms.Task(*({name: torch.tensor(x) for name, x in batch(*which).items()} for which in ((0, 5), (1, 7))))


def loss(params, batch):
    x = torch.nn.functional.linear(batch["x"].flatten(1), params["fc.weight"], params["fc.bias"])
    x = torch.nn.functional.linear(torch.tanh(x), params["out.weight"])
    return torch.nn.functional.mse_loss(x, batch["y"])
