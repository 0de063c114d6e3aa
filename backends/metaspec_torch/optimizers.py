"""The classes of `torch.optim` as outer optimisers.

They work in place and make their state at the first step. Here each step is taken by a fresh instance on copies, which
is handed the state and gives it back as a tree; what the state consists of is found by a step that is thrown away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec.task import Array, Tree

HOW = "functools.partial(torch.optim.SGD, lr=0.1)"


@dataclass(frozen=True)
class TorchOptimizer:
    """One step of the class's instance.

    Attributes:
        make: A class of `torch.optim`, or a `functools.partial` of one that has its settings.
        lr: A function of the step (see `metaspec.training.schedules`) in place of the class's constant rate.
    """

    make: Callable[[Sequence[torch.Tensor]], torch.optim.Optimizer]
    lr: Callable[[int], float] | None = None
    traceable: ClassVar[bool] = False  # in place, and with Python's if on its own state

    def __post_init__(self) -> None:
        if isinstance(self.make, torch.optim.Optimizer) or not callable(self.make):
            raise InvalidTypeError(
                f"optimizer: expected a class of torch.optim or {HOW}, got {type(self.make).__name__}: an instance "
                "is tied to the tensors that it was made with, and training does not alter those"
            )

    def rate(self, step: int) -> float:
        """lr, at this step."""
        return 0.0 if self.lr is None else self.lr(step)

    def init(self, B: Backend, params: Tree) -> Tree:
        """No step taken, and zeros where the first will leave a state."""
        leaves = _copies(B, params)
        zeros = [torch.zeros_like(leaf) for leaf in leaves]
        try:
            state = _taken(self.make, leaves, zeros, None, None)
        except TypeError as error:
            raise InvalidTypeError(
                "optimizer: expected a class of torch.optim that is made of parameters alone and steps without a "
                f"closure, or {HOW}: {error}"
            ) from None
        return {"steps": torch.tensor(0), "leaves": [{k: torch.zeros_like(v) for k, v in s.items()} for s in state]}

    def update(self, B: Backend, params: Tree, state: Tree, delta: Tree, rate: Array) -> tuple[Tree, Tree]:
        """One step."""
        leaves, structure = _copies(B, params), B.tree_flatten(params)[1]
        earlier = state["leaves"] if state["steps"] else None
        later = _taken(self.make, leaves, B.tree_flatten(delta)[0], earlier, None if self.lr is None else float(rate))
        return B.tree_unflatten(structure, leaves), {"steps": state["steps"] + 1, "leaves": later}


def _copies(B: Backend, tree: Tree) -> list[torch.Tensor]:
    return [leaf.detach().clone() for leaf in B.tree_flatten(tree)[0]]


def _taken(
    make: Callable[[Sequence[torch.Tensor]], torch.optim.Optimizer],
    leaves: list[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    state: Sequence[dict[str, torch.Tensor]] | None,
    rate: float | None,
) -> list[dict[str, torch.Tensor]]:
    """Move `leaves` in place by one step; returns the state after it, leaf by leaf."""
    optimizer = make(leaves)
    if rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = rate
    for i, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        leaf.grad = gradient
        if state is not None:
            optimizer.state[leaf] = {name: value.clone() for name, value in state[i].items()}
    optimizer.step()
    return [_tensors(optimizer, optimizer.state[leaf]) for leaf in leaves]


def _tensors(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, torch.Tensor]:
    kept = {name: value for name, value in state.items() if value is not None}
    for name, value in kept.items():
        if not isinstance(value, torch.Tensor):
            raise InvalidTypeError(
                f"optimizer: {type(optimizer).__name__} keeps {name!r} as {type(value).__name__}, not as a tensor, and "
                "cannot be checkpointed; use another class of torch.optim"
            )
    return kept
