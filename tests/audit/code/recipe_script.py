"""A script: a global model and optimiser, a function for a step, and a loop at the end that no audit should run."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def train_step(x_spt, y_spt, x_qry, y_qry):
    optimizer.zero_grad()
    for xs, ys, xq, yq in zip(x_spt, y_spt, x_qry, y_qry, strict=True):
        weights = dict(model.named_parameters())
        for _ in range(2):
            loss = mse_loss(torch.func.functional_call(model, weights, (xs,)), ys)
            grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {name: w - 0.05 * g for (name, w), g in zip(weights.items(), grads, strict=True)}
        mse_loss(torch.func.functional_call(model, weights, (xq,)), yq).backward()
    optimizer.step()


for _ in range(10**9):
    raise RuntimeError("the loop of the script was run")
