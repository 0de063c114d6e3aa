"""Modules, criteria and optimisers of PyTorch, for audits of code that works on them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.func import functional_call
from torch.nn import functional


class TorchModels:
    """See `metaspec_conformance.audit.calls.native_models.NativeModels`."""

    layout = (("w1", True), ("b1", False), ("w2", True), ("b2", False))

    def is_model(self, x: Any) -> bool:
        """Whether it is a module."""
        return isinstance(x, torch.nn.Module)

    def inside(self, x: Any) -> dict[str, torch.nn.Module]:
        """Return a module's children, or the modules among an object's attributes, which have parameters."""
        held = dict(x.named_children()) if self.is_model(x) else vars(x)
        return {name: m for name, m in held.items() if self.is_model(m) and any(True for _ in m.parameters())}

    def predicted(self, model: torch.nn.Module, x: Any) -> Any:
        """Outputs in evaluation."""
        with torch.no_grad():
            form = next(p.dtype for _, p in model.named_parameters())  # `parameters` may be the user's, and no iterator
            return model(torch.tensor(x, dtype=form)).cpu().numpy()

    def backpropagate(self, returned: Any) -> bool:
        """Call `.backward()` on a scalar tensor, or on a dictionary's "loss"; return whether there was one."""
        loss = returned.get("loss") if isinstance(returned, dict) else returned
        if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
            return False
        loss.backward()
        return True

    def prepare(self, learner: Any) -> None:
        """Give a Lightning module that optimises by hand what its trainer would: `optimizers`, `manual_backward`."""
        if getattr(learner, "automatic_optimization", True) or not hasattr(learner, "configure_optimizers"):
            return
        own = _optimizers(learner.configure_optimizers())
        learner.optimizers = lambda *_, **__: own[0] if len(own) == 1 else own
        learner.manual_backward = lambda loss, *args, **named: loss.backward(*args, **named)

    def network(self, weights: Mapping[str, Any], dtype: str) -> torch.nn.Module:
        """Sequential(Linear, Tanh, Linear)."""
        (a, b), c = weights["w1"].shape, weights["w2"].shape[1]
        form = getattr(torch, dtype)
        model = torch.nn.Sequential(
            torch.nn.Linear(a, b, dtype=form), torch.nn.Tanh(), torch.nn.Linear(b, c, dtype=form)
        )
        placed = [weights[name].T if transposed else weights[name] for name, transposed in self.layout]
        self.assign(model, dict(zip([name for name, _ in model.named_parameters()], placed, strict=True)))
        return model

    def parameters(self, model: torch.nn.Module) -> dict[str, Any]:
        """Return copies of the parameters that require a gradient, by name."""
        return {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters() if p.requires_grad}

    def assign(self, model: torch.nn.Module, values: Mapping[str, Any]) -> None:
        """Copied into the tensors."""
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in values.items():
                parameters[name].copy_(torch.tensor(value))

    def gradients(self, model: torch.nn.Module) -> dict[str, Any] | None:
        """`.grad`."""
        found = {
            name: None if p.grad is None else p.grad.detach().cpu().numpy().copy()
            for name, p in model.named_parameters()
            if p.requires_grad
        }
        return found if any(leaf is not None for leaf in found.values()) else None

    def buffers(self, model: torch.nn.Module) -> dict[str, Any]:
        """Buffers and what does not require a gradient."""
        fixed = [(name, p) for name, p in model.named_parameters() if not p.requires_grad]
        return {name: b.detach().cpu().numpy().copy() for name, b in [*model.named_buffers(), *fixed]}

    def criterion(self, kind: str) -> Callable[[Any, Any], Any]:
        """(prediction, target) -> mean."""
        return functional.mse_loss if kind == "regression" else functional.cross_entropy

    def loss(self, kind: str) -> Callable[[Any, Any], Any]:
        """Return the loss (model, batch) -> scalar of the model's prediction from the inputs, against the targets."""
        criterion = self.criterion(kind)
        return lambda model, batch: criterion(model(batch[0]), batch[1])

    def optimizer(self, model: torch.nn.Module, lr: float) -> Any:
        """SGD."""
        return torch.optim.SGD(model.parameters(), lr=lr)

    def functional(
        self, model: torch.nn.Module, loss: Callable[[Any, Any], Any]
    ) -> Callable[[Mapping[str, Any], Any], Any]:
        """By `functional_call`, buffers as they are at the start."""
        scored = _Scored(model, loss)
        held = {f"model.{name}": b.clone() for name, b in model.named_buffers()}

        def value(params: Mapping[str, Any], batch: Any) -> Any:
            named = {f"model.{name}": p for name, p in params.items()}
            return functional_call(scored, {**named, **{name: b.clone() for name, b in held.items()}}, (batch,))

        return value

    @contextmanager
    def noting_autocast(self) -> Iterator[set[str]]:
        """Collect the formats that `torch.autocast` is entered for on the CPU meanwhile."""
        formats: set[str] = set()
        enter = torch.autocast.__enter__

        def entered(autocast: torch.autocast) -> Any:
            returned = enter(autocast)
            if torch.is_autocast_enabled("cpu"):
                formats.add(str(torch.get_autocast_dtype("cpu")).removeprefix("torch."))
            return returned

        torch.autocast.__enter__ = entered
        try:
            yield formats
        finally:
            torch.autocast.__enter__ = enter

    def random_state(self) -> bytes:
        """Return the state of PyTorch's default generator."""
        return bytes(torch.get_rng_state().numpy().tobytes())


def _optimizers(configured: Any) -> list[Any]:
    """Return the optimisers in any of the forms that `configure_optimizers` may return."""
    if isinstance(configured, torch.optim.Optimizer):
        return [configured]
    if isinstance(configured, dict):
        return _optimizers(configured["optimizer"])
    several = configured[0] if isinstance(configured[0], list | tuple) else configured  # ([...], [schedulers])
    return [optimizer for each in several for optimizer in _optimizers(each)]


class _Scored(torch.nn.Module):
    """The model with the loss as its forward pass."""

    def __init__(self, model: torch.nn.Module, loss: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.model, self.score = model, loss

    def forward(self, batch: Any) -> Any:
        return self.score(self.model, batch)
