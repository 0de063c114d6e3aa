"""Results as a part of the user's own recording, so that `.backward()` goes through them without an unrolled graph.

A result's pull-back is known in closed form: of the query loss it is the cotangent times `delta`, of adapted parameters
a walk along the inner loop's adjoint. Each is one node of autograd's graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from metaspec.errors import UnsupportedError

Pull = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


class _Known(torch.autograd.Function):
    """Values whose pull-back is a given function."""

    @staticmethod
    def forward(ctx: Any, pull: Pull, count: int, *values_and_inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.pull = pull
        ctx.inputs = len(values_and_inputs) - count
        return tuple(x.view_as(x) for x in values_and_inputs[:count])

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise UnsupportedError(
                "backward: a meta-gradient's own derivative was asked for (create_graph=True), and results that join "
                "autograd's recording have a first derivative alone; call backward() without create_graph, or "
                "differentiate metaspec.meta_gradient by torch.func.grad"
            )
        shares = ctx.pull(cotangents)
        return (None, None, *(None for _ in cotangents), *shares)


def with_pullback(
    values: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], pull: Pull
) -> tuple[torch.Tensor, ...]:
    """The values as results of the inputs, `pull` giving the inputs' shares of a cotangent of the values."""
    found: tuple[torch.Tensor, ...] = _Known.apply(pull, len(values), *values, *inputs)
    return found
