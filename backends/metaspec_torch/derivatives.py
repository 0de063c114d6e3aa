"""Vector-Jacobian products by `torch.autograd`, and by `torch.func` where its transforms are at work around the call.

Autograd differentiates twice what `torch.func` refuses or gets wrong: scripted functions, activation checkpointing,
classic `autograd.Function`s, recurrent layers. Leaves are fresh tensors that require a gradient, connected to those of
a derivative that is being taken around this one; only then, or where the user records, is the work of the backward pass
recorded too (`create_graph`).
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from metaspec.backend.protocol import Backend
from metaspec.task import Tree
from metaspec_torch._private import differentiated_by_functorch, each_pulled, is_zero_tensor, under_functorch
from metaspec_torch.task_stack import TaskStack, as_stacks, stacks_of
from metaspec_torch.torch_refusals import explained, refuse_once_differentiable

_NESTED: ContextVar[bool] = ContextVar("metaspec_torch_nested", default=False)
Tensors = tuple[torch.Tensor, ...]
Pull = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


class Vjp(NamedTuple):
    """A value, its pull-back, and what else the function returned."""

    value: Tree
    pullback: Callable[[Tree], tuple[Tree, ...]]
    aux: Tree


def vjp(B: Backend, f: Callable[..., Any], primals: tuple[Tree, ...], has_aux: bool = False, once: bool = False) -> Vjp:
    """f(*primals) and u -> u . J; with `once` the pull-back is called a single time, and frees its graph.

    While many tasks are computed at once, every primal is taken as one that differs from task to task.
    """
    leaves, structure = B.tree_flatten(primals)
    out: list[Any] = []  # structure of the value, then leaves and structure of the aux

    def flat(*stacked: torch.Tensor) -> tuple[Tensors, Tensors]:
        returned = f(*B.tree_unflatten(structure, as_stacks(stacked)))
        value, aux = returned if has_aux else (returned, None)
        value_leaves, value_structure = B.tree_flatten(value)
        out[:] = value_structure, *B.tree_flatten(aux)
        tensors = (_stacked(leaf) for leaf in out[1] if B.is_array(leaf))
        return tuple(stacks_of(value_leaves)), tuple(tensors)

    def tree(structure: Any, stacked: Sequence[torch.Tensor]) -> Tree:
        return B.tree_unflatten(structure, as_stacks(stacked))

    inputs = stacks_of(leaves)
    with explained():
        value, pull, tensors = (_by_functorch if under_functorch() else _by_autograd)(flat, inputs, once)

    def pullback(cotangent: Tree) -> tuple[Tree, ...]:
        with explained():
            shares: tuple[Tree, ...] = tree(structure, pull(stacks_of(B.tree_flatten(cotangent)[0])))
        return shares

    value_structure, aux_leaves, aux_structure = out
    again = iter(tensors)
    aux = [_like(leaf, next(again)) if B.is_array(leaf) else leaf for leaf in aux_leaves]
    return Vjp(tree(value_structure, value), pullback, B.tree_unflatten(aux_structure, aux))


def linearize_grad(B: Backend, f: Callable[..., Any], x: Tree, args: tuple[Any, ...]) -> tuple[Tree, Pull]:
    """The gradient of f at x and v -> v H, which share one graph."""
    leaves, structure = B.tree_flatten(x)

    def tree(stacked: Sequence[torch.Tensor]) -> Tree:
        return B.tree_unflatten(structure, as_stacks(stacked))

    leaves = stacks_of(leaves)
    around = _recorded(leaves)
    with explained(), _Recording():
        inputs = [_input(leaf) for leaf in leaves]
        (value,) = stacks_of([f(tree(inputs), *args)])
        gradient = _pulled(_edges([value]), inputs, [torch.ones_like(value)], again=True, keep=True)
    edges = _edges(gradient)

    def product(v: Tree) -> Tree:
        cotangent = stacks_of(B.tree_flatten(v)[0])
        with explained():
            return tree(_pulled(edges, inputs, cotangent, again=_recorded((*leaves, *cotangent)), keep=True))

    return tree(gradient if around else [share.detach() for share in gradient]), product


def _stacked(x: Any) -> torch.Tensor:
    return x.stacked if isinstance(x, TaskStack) else x


def _like(x: Any, stacked: torch.Tensor) -> Any:
    return TaskStack(stacked) if isinstance(x, TaskStack) else stacked


def _by_autograd(
    flat: Callable[..., tuple[Tensors, Tensors]], leaves: Sequence[torch.Tensor], once: bool
) -> tuple[Sequence[torch.Tensor], Pull, Sequence[torch.Tensor]]:
    around = _recorded(leaves)
    with _Recording():
        inputs = [_input(x) for x in leaves]
        value, aux = flat(*inputs)
    edges = _edges(value)
    if not around:
        value, aux = tuple(x.detach() for x in value), tuple(x.detach() for x in aux)

    def pull(cotangent: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        again = around if once else _recorded(cotangent)
        return _pulled(edges, inputs, cotangent, again, keep=again or not once)

    return value, pull, aux


def _edges(x: Sequence[torch.Tensor]) -> list[GradientEdge | None]:
    """Where each tensor stands in autograd's graph, which does not keep its values as the tensor would."""
    return [get_gradient_edge(entry) if entry.requires_grad else None for entry in x]


def _pulled(
    edges: Sequence[GradientEdge | None],
    inputs: Sequence[torch.Tensor],
    cotangent: Sequence[torch.Tensor],
    again: bool,
    keep: bool,
) -> tuple[torch.Tensor, ...]:
    """cotangent . J by autograd; with `again` recorded in turn, with `keep` the graph stays for another call."""
    pairs = [(edge, u) for edge, u in zip(edges, cotangent, strict=True) if edge is not None]
    active = [x for x in inputs if x.requires_grad]
    shares: Any = iter([None] * len(active))
    if pairs and active:
        outputs, cotangents = zip(*pairs, strict=True)
        if again:  # autograd would leave such a function's share of the second derivative out, without a word
            refuse_once_differentiable(edge.node for edge in outputs)
        shares = iter(each_pulled(outputs, active, cotangents, keep, again))
    return tuple(_dense(x, next(shares) if x.requires_grad else None) for x in inputs)


def _input(x: torch.Tensor) -> torch.Tensor:
    if x.requires_grad:
        return x.view_as(x)
    x = x.clone() if x.is_inference() else x.detach()
    return x.requires_grad_() if x.is_floating_point() else x


def _dense(x: torch.Tensor, share: torch.Tensor | None) -> torch.Tensor:
    if share is None:
        return torch.zeros_like(x, requires_grad=False)
    if is_zero_tensor(share):
        return share.clone()
    return share.to_dense() if share.is_sparse else share


def _recorded(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a derivative is taken around this point, by this module or by the user's own recording."""
    return _NESTED.get() or (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))


def nested() -> bool:
    """Whether this is within a function that is being differentiated here."""
    return _NESTED.get()


class _Recording:
    """Context in which autograd records, inference mode or not, for a derivative that is taken here."""

    __slots__ = ("_before", "_token")

    def __enter__(self) -> None:
        self._before: list[Any] = [torch.inference_mode(False)] if torch.is_inference_mode_enabled() else []
        self._before.append(torch.enable_grad())
        for context in self._before:
            context.__enter__()
        self._token: Token[bool] = _NESTED.set(True)

    def __exit__(self, *raised: Any) -> None:
        _NESTED.reset(self._token)
        for context in reversed(self._before):
            context.__exit__(*raised)


def _by_functorch(
    flat: Callable[..., tuple[Tensors, Tensors]], leaves: Sequence[torch.Tensor], once: bool
) -> tuple[Sequence[torch.Tensor], Pull, Sequence[torch.Tensor]]:
    value, pull, aux = torch.func.vjp(flat, *leaves, has_aux=True)

    def pulled(cotangent: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        shares = pull(tuple(cotangent), create_graph=differentiated_by_functorch())
        return tuple(x.clone() if is_zero_tensor(x) else x for x in shares)

    return value, pulled, aux
