"""Meta-learning as the users of Lightning write it, on the real package."""

from typing import Any

import lightning
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import mse_loss


class Automatic(lightning.LightningModule):
    """The trainer backpropagates what `training_step` returns."""

    def __init__(self, lr: float, steps: int) -> None:
        super().__init__()
        self.net, self.lr, self.steps = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)), lr, steps

    def query_losses(self, batch: Any) -> Any:
        for xs, ys, xq, yq in zip(*batch, strict=True):
            weights = dict(self.net.named_parameters())
            for _ in range(self.steps):
                loss = mse_loss(functional_call(self.net, weights, (xs,)), ys)
                grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
                weights = {name: w - self.lr * g for (name, w), g in zip(weights.items(), grads, strict=True)}
            yield mse_loss(functional_call(self.net, weights, (xq,)), yq) / len(batch[0])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = sum(self.query_losses(batch))
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class ByHand(Automatic):
    """The module steers its own optimiser."""

    def __init__(self, lr: float, steps: int) -> None:
        super().__init__(lr, steps)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        for loss in self.query_losses(batch):
            self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ConstantLR(optimizer)}
