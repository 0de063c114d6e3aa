"""What functions of one task's tensors are on the tensors of all tasks, stacked along axis 0.

A rule calls PyTorch's own functions on the stacked tensors, so autograd records what it would if the code had been
written for stacks by hand: without the copies, views and calls that `torch.vmap` adds to each operation.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 (as its users write it)

from metaspec_torch._private import get_proxy_mode

Rule = Callable[..., torch.Tensor]
"""(the function, its arguments) -> its result of every task."""

ELEMENTWISE = (
    "abs add bool clamp clone contiguous cos detach div divide double eq erf exp expm1 float ge greater "
    "greater_equal gt isfinite isnan le less less_equal log log1p logical_and logical_not logical_or long lt "
    "maximum minimum mul multiply ne neg not_equal ones_like pow reciprocal relu rsqrt sigmoid sign sin sqrt "
    "square sub subtract tanh where zeros_like"
)
ACTIVATIONS = "elu gelu hardtanh leaky_relu logsigmoid mish relu relu6 selu sigmoid silu softplus softsign tanh"
OPERATORS = "add radd sub rsub mul rmul truediv rtruediv pow rpow neg abs eq ne lt le gt ge and or xor invert"
REDUCTIONS = "all amax amin any logsumexp mean std sum var"
ALONG_AN_AXIS = "cumsum log_softmax softmax squeeze"
PLAIN_INDEX = (int, slice, type(...), type(None))


class NoRuleError(Exception):
    """Raised where a function, or its options, have no rule."""


class Stacked:
    """One task's tensor, of every task.

    Attributes:
        stacked: The entries of all tasks; axis 0 runs over tasks.
    """

    __slots__ = ()
    stacked: torch.Tensor


_ARRAYS = Stacked, torch.Tensor


def on_stacks(f: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any] | None) -> torch.Tensor:
    """Return f(*args, **options) of every task.

    Raises:
        NoRuleError: There is no rule for it.
    """
    rule = _RULES.get(f)
    if rule is None:
        raise NoRuleError(f"{_name(f)} has no rule for stacked tensors")
    if options:
        options = {name: value for name, value in options.items() if value is not None}
        if any(isinstance(value, _ARRAYS) for value in options.values()):
            raise NoRuleError("a tensor in an option")
    try:
        found = rule(f, *args, **options) if options else rule(f, *args)
    except TypeError as other_arguments:
        raise NoRuleError(str(other_arguments)) from None
    if not isinstance(found, torch.Tensor):
        raise NoRuleError("a result that is no tensor")
    return found


def _name(f: Any) -> str:
    name = getattr(f, "__name__", str(f))
    return str(f.__self__.__name__) if name == "__get__" else str(name)


def elementwise(f: Rule, x: Any, *others: Any, **options: Any) -> torch.Tensor:
    """Return f of stacks and of tensors that broadcast against them, entry by entry."""
    if not others:
        return f(x.stacked, **options)
    if isinstance(x, Stacked) and len(others) == 1:  # the common cases first: losses are made of these
        (y,) = others
        if isinstance(y, Stacked):
            if x.stacked.ndim == y.stacked.ndim and x.stacked.dtype == y.stacked.dtype:
                return f(x.stacked, y.stacked, **options)
        elif not isinstance(y, torch.Tensor):
            return f(x.stacked, y, **options)
    args = (x, *others)
    arrays = [z for z in args if isinstance(z, _ARRAYS)]
    if len({_entries(z).dtype for z in arrays} - {torch.bool}) > 1:
        raise NoRuleError("what dtype results depends on the number of axes")
    most = max(map(_ndim, arrays))
    return f(*(_with_axes(z, most) for z in args), **options)


def _entries(x: Any) -> Any:
    return x.stacked if isinstance(x, Stacked) else x


def _ndim(x: Any) -> int:
    """The number of axes of one task's tensor."""
    return x.stacked.ndim - 1 if isinstance(x, Stacked) else x.ndim


def _with_axes(x: Any, ndim: int) -> Any:
    """The entries, with axes of one entry before the others of a task's tensor, which then has `ndim`."""
    if not isinstance(x, Stacked):
        return x
    missing = ndim - x.stacked.ndim + 1
    return x.stacked[(slice(None), *(None,) * missing)] if missing else x.stacked


def _alone(x: Any) -> tuple[torch.Tensor, int]:
    """The entries of a stack, and the number of axes of one task's tensor."""
    if not isinstance(x, Stacked):
        raise NoRuleError("the first argument is the same for all tasks")
    return x.stacked, x.stacked.ndim - 1


def _axis(axis: Any, ndim: int) -> int:
    """Where an axis of one task's tensor is among those of the stacked one."""
    if type(axis) is not int or not -ndim <= axis < ndim:
        raise NoRuleError(f"axis {axis} of {ndim}")
    return axis % ndim + 1


def _axes(axes: Iterable[Any], ndim: int) -> tuple[int, ...]:
    return tuple(_axis(axis, ndim) for axis in axes)


def _several(numbers: tuple[Any, ...]) -> tuple[Any, ...]:
    """The numbers of f(x, 1, 2) or f(x, (1, 2))."""
    return tuple(numbers[0]) if len(numbers) == 1 and not isinstance(numbers[0], int) else numbers


def _reduction(f: Rule, x: Any, dim: Any = None, **options: Any) -> torch.Tensor:
    stacked, ndim = _alone(x)
    given = options.pop("axis", dim)
    if given is None:
        axes = tuple(range(1, ndim + 1))
    elif not isinstance(given, tuple | list):
        axes = _axes((given,), ndim)
    elif given:
        axes = _axes(given, ndim)
    else:
        raise NoRuleError("no axes, which are all to some functions and none to others")
    if axes:
        return f(stacked, axes, **options)
    if options.keys() & {"keepdim", "keepdims"}:
        raise NoRuleError("axes kept of a number")
    return f(stacked[:, None], (1,), **options)


def _along(f: Rule, x: Any, dim: Any = None, **options: Any) -> torch.Tensor:
    stacked, ndim = _alone(x)
    dim = options.pop("axis", dim)
    options.pop("_stacklevel", None)
    return f(stacked, _axis(dim, ndim), **options)


def _product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The matrix product; `torch.matmul` of two stacks of matrices makes views before and after it."""
    return torch.bmm(x, y) if x.ndim == y.ndim == 3 and len(x) == len(y) else torch.matmul(x, y)


def _matmul(_: Rule, x: Any, y: Any) -> torch.Tensor:
    most = max(_ndim(x), _ndim(y))
    row, column = _ndim(x) == 1, _ndim(y) == 1
    if min(_ndim(x), _ndim(y)) < 1 or ((row or column) and most > 2):
        raise NoRuleError("a product of a vector with more than a matrix")
    if x.dtype != y.dtype:
        raise NoRuleError("a product of two dtypes")
    left = _entries(x).unsqueeze(-2) if row else _with_axes(x, most)
    right = _entries(y).unsqueeze(-1) if column else _with_axes(y, most)
    found = _product(left, right)
    axes = (-2,) * row + (-1,) * column
    return found.squeeze(axes) if axes else found


def _mm(f: Rule, x: Any, y: Any) -> torch.Tensor:
    """Return the product by `mm` or `mv`: of a matrix with a matrix, or with a vector."""
    if (_ndim(x), _ndim(y)) != (2, 2 if f in (torch.mm, torch.Tensor.mm) else 1):
        raise NoRuleError("other than matrices and vectors")
    return _matmul(f, x, y)


def _linear(_: Rule, input: Any, weight: Any, bias: Any = None) -> torch.Tensor:
    if _ndim(input) < 2 or _ndim(weight) != 2 or (bias is not None and _ndim(bias) != 1):
        raise NoRuleError("other than a matrix and a vector")
    stacked = all(isinstance(x, Stacked) for x in (input, weight, bias))
    if stacked and input.stacked.ndim == 3 and get_proxy_mode() is None:  # compilers join or fuse the sum themselves
        return torch.baddbmm(bias.stacked[:, None], input.stacked, weight.stacked.mT)
    most = _ndim(input)
    found = _product(_with_axes(input, most), _with_axes(weight, most).mT)
    return found if bias is None else found + _with_axes(bias, most).to(found.dtype)


def _to(f: Rule, x: Any, *args: Any, **options: Any) -> torch.Tensor:
    """Return a stack with another dtype or device; of a tensor that gives them nothing else counts."""
    return f(_alone(x)[0], *map(_entries, args), **options)


def _pair(x: Any, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The entries of two tensors of one shape; those of one that is the same for all tasks, for each of them."""
    if isinstance(x, Stacked) and isinstance(y, Stacked):
        pair = x.stacked, y.stacked
    elif isinstance(x, Stacked):
        pair = x.stacked, y.expand(len(x.stacked), *y.shape)
    else:
        pair = x.expand(len(y.stacked), *x.shape), y.stacked
    if pair[0].shape != pair[1].shape:
        raise NoRuleError("tensors that broadcast")
    return pair


def _paired_loss(f: Rule, input: Any, target: Any, *, reduction: str = "mean", **options: Any) -> torch.Tensor:
    if options.keys() - {"beta", "delta"}:
        raise NoRuleError("another option of a loss")
    return _reduced(f(*_pair(input, target), reduction="none", **options), reduction)


def _reduced(entries: torch.Tensor, reduction: str) -> torch.Tensor:
    """What a loss makes of the entries of a task."""
    if reduction not in ("mean", "sum"):
        raise NoRuleError(f"reduction={reduction!r}")
    entries = entries.reshape(len(entries), -1)
    return entries.mean(1) if reduction == "mean" else entries.sum(1)


def _cross_entropy(
    f: Rule, input: Any, target: Any, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the cross-entropy of logits [N, C] and labels [N]; a mean is over the labels that are not ignored."""
    logits, ndim = _alone(input)
    labels = _entries(target).expand(len(logits), -1)
    if ndim != 2 or _ndim(target) != 1 or labels.is_floating_point() or logits.shape[1] != labels.shape[1]:
        raise NoRuleError("other than logits [N, C] and labels [N]")
    flat = logits.flatten(0, 1), labels.flatten()
    options = {} if f is F.nll_loss else {"label_smoothing": label_smoothing}
    entries = f(*flat, ignore_index=ignore_index, reduction="none", **options).view(labels.shape)
    if reduction == "mean":
        return entries.sum(1) / (labels != ignore_index).sum(1)
    return _reduced(entries, reduction)


def _dropout(_: Rule, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if training:
        raise NoRuleError("a random draw")
    return _alone(input)[0]


def _gather(f: Rule, x: Any, dim: int, index: Any) -> torch.Tensor:
    stacked, ndim = _alone(x)
    return f(stacked, _axis(dim, ndim), _entries(index).expand(len(stacked), *[-1] * _ndim(index)))


def _reshape(_: Rule, x: Any, *shape: Any) -> torch.Tensor:
    stacked = _alone(x)[0]
    return stacked.reshape(len(stacked), *_several(shape))


def _flatten(_: Rule, x: Any, start_dim: int = 0, end_dim: int = -1) -> torch.Tensor:
    stacked, ndim = _alone(x)
    return stacked.flatten(*_axes((start_dim, end_dim), ndim))


def _unsqueeze(_: Rule, x: Any, dim: int) -> torch.Tensor:
    stacked, ndim = _alone(x)
    return stacked.unsqueeze(_axis(dim, ndim + 1))


def _transpose(f: Rule, x: Any, dim0: int, dim1: int) -> torch.Tensor:
    stacked, ndim = _alone(x)
    return f(stacked, *_axes((dim0, dim1), ndim))


def _permute(_: Rule, x: Any, *dims: Any) -> torch.Tensor:
    stacked, ndim = _alone(x)
    return stacked.permute(0, *_axes(_several(dims), ndim))


def _expand(_: Rule, x: Any, *shape: Any) -> torch.Tensor:
    sizes = _several(shape)
    if -1 in sizes[: len(sizes) - _ndim(x)]:
        raise NoRuleError("a new axis of no size")
    return _with_axes(x, len(sizes)).expand(-1, *sizes)


def _concatenated(f: Rule, tensors: Sequence[Any], dim: int = 0, **options: Any) -> torch.Tensor:
    """Return the concatenation of tensors along an axis of one task, or by `torch.stack` along a new one."""
    count = next(len(x.stacked) for x in tensors if isinstance(x, Stacked))
    rows = [x.stacked if isinstance(x, Stacked) else x.expand(count, *x.shape) for x in tensors]
    ndim = rows[0].ndim - (f is not torch.stack)
    return f(rows, _axis(options.pop("axis", dim), ndim), **options)


def _indexed(_: Rule, x: Any, index: Any) -> torch.Tensor:
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(part, PLAIN_INDEX) and not isinstance(part, bool) for part in parts):
        raise NoRuleError("an index by entries")
    return _alone(x)[0][(slice(None), *parts)]


def _named(names: str, *holders: Any) -> list[Any]:
    found = (getattr(holder, name, None) for holder in holders for name in names.split())
    return [f for f in found if callable(f)]


_FUNCTIONS = torch, torch.Tensor
_RULES: dict[Any, Rule] = {
    **dict.fromkeys(_named(ELEMENTWISE, *_FUNCTIONS), elementwise),
    **dict.fromkeys(_named(ACTIVATIONS, F), elementwise),
    **dict.fromkeys(_named(" ".join(f"__{name}__" for name in OPERATORS.split()), torch.Tensor), elementwise),
    **dict.fromkeys(_named(REDUCTIONS, *_FUNCTIONS), _reduction),
    **dict.fromkeys(_named(ALONG_AN_AXIS, *_FUNCTIONS, F), _along),
    **dict.fromkeys(_named("matmul", *_FUNCTIONS), _matmul),
    **dict.fromkeys(_named("mm mv", *_FUNCTIONS), _mm),
    torch.Tensor.to: _to,
    **dict.fromkeys(_named("gather", *_FUNCTIONS), _gather),
    F.dropout: _dropout,
    F.linear: _linear,
    **dict.fromkeys(
        _named("mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits", F), _paired_loss
    ),
    **dict.fromkeys(_named("cross_entropy nll_loss", F), _cross_entropy),
    **dict.fromkeys(_named("reshape view", *_FUNCTIONS), _reshape),
    **dict.fromkeys(_named("flatten", *_FUNCTIONS), _flatten),
    **dict.fromkeys(_named("unsqueeze", *_FUNCTIONS), _unsqueeze),
    **dict.fromkeys(_named("transpose swapaxes", *_FUNCTIONS), _transpose),
    **dict.fromkeys(_named("permute", *_FUNCTIONS), _permute),
    **dict.fromkeys(_named("broadcast_to expand", *_FUNCTIONS), _expand),
    **dict.fromkeys(_named("cat concat concatenate stack", torch), _concatenated),
    torch.Tensor.__getitem__: _indexed,
}
