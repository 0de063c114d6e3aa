"""A tensor of one task's shape that holds the entries of all tasks: what losses are given that are computed at once.

It is a `torch.Tensor`, so that modules take it for a parameter. It has no memory of its own: an operation that reaches
PyTorch without a rule of `stacked_functions` raises. So does every operation where autograd does not record, as within
a custom `torch.autograd.Function`, whose pull-back is not that of what it computes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from metaspec.errors import UnsupportedError
from metaspec_torch._private import DisableTorchFunctionSubclass, in_backward_pass, wrapper_subclass
from metaspec_torch.stacked_functions import NoRuleError, Stacked, on_stacks

KEPT = (
    "loss: it kept a tensor beyond its evaluation, which holds the values of several tasks at once; keep values of an "
    "evaluation on one task (metaspec.meta_gradient), or return them as aux"
)
_AT_WORK: ContextVar[bool] = ContextVar("metaspec_torch_rules_at_work", default=False)


@contextmanager
def rules_at_work() -> Iterator[None]:
    """Within it, and in backward passes, stacked tensors may be computed with."""
    token = _AT_WORK.set(True)
    try:
        yield
    finally:
        _AT_WORK.reset(token)


class StackedTensor(torch.Tensor, Stacked):
    """One task's tensor, of every task, for functions that ask for a `torch.Tensor`.

    Raises:
        NoRuleError: By functions and attributes that have no rule.
        UnsupportedError: By all of them once the loss has been evaluated.
    """

    @staticmethod
    def of(stacked: torch.Tensor) -> "StackedTensor":
        """Return the tensor of one task's shape; axis 0 of `stacked` runs over tasks."""
        found = wrapper_subclass(StackedTensor, stacked.shape[1:], dtype=stacked.dtype, device=stacked.device)
        found.stacked = stacked
        return found

    @classmethod
    def __torch_function__(
        cls, f: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if f in _OF_ONE_TASK:
            with DisableTorchFunctionSubclass():
                return f(*args, **(kwargs or {}))
        if not _AT_WORK.get() and not in_backward_pass():
            raise UnsupportedError(KEPT)
        if not torch.is_grad_enabled():
            raise NoRuleError(f"{f} outside of autograd's recording")
        return StackedTensor.of(on_stacks(f, args, kwargs))

    @classmethod
    def __torch_dispatch__(cls, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NoRuleError(f"{f} has no rule for stacked tensors")

    def __repr__(self, **_: Any) -> str:
        return f"StackedTensor({self.stacked!r})"

    @property
    def shape(self) -> torch.Size:  # as an attribute of Python's, a third of the time
        return self.stacked.shape[1:]

    @property
    def requires_grad(self) -> bool:
        return self.stacked.requires_grad

    @property
    def _version(self) -> int:
        return self.stacked._version

    @property
    def mT(self) -> "StackedTensor":
        return self.transpose(-2, -1)

    @property
    def T(self) -> "StackedTensor":
        if self.ndim != 2:
            raise NoRuleError("T of other than a matrix")
        return self.transpose(0, 1)


_OF_ONE_TASK = {
    *(
        getattr(torch.Tensor, name)
        for name in ("dim", "is_complex", "is_floating_point", "is_inference", "numel", "size", "__len__")
    ),
    *(getattr(torch.Tensor, name).__get__ for name in ("device", "dtype", "is_cuda", "layout", "ndim")),
    *(torch.is_complex, torch.is_floating_point, torch.numel),
}
