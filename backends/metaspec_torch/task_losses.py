"""How a loss is computed for many tasks at once: vectorised, or not at all.

The loss alone is vectorised, by `torch.vmap`; derivatives are taken outside of it. One task after the other it is where
`torch.vmap` refuses (recurrent layers, `if` on values, a gradient inside of the loss), and on CPUs for convolutions:
with weights of each task's own they become grouped convolutions, which take longer than one after the other. On CPUs it
is so too where a task's evaluation makes so much that calls cost little beside it. A task then goes through the whole
of its algorithm before the next begins, so that only one task's recording is kept.
"""

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import optree
import torch

from metaspec.backend.protocol import NAMESPACE
from metaspec.errors import MutationError
from metaspec.losses.lifting import MUTATED
from metaspec.task import Tree
from metaspec_torch._private import TorchDispatchMode, get_proxy_mode, under_functorch
from metaspec_torch.task_stack import TaskStack, task_by_task, task_count, tasks_at_once

LOG = logging.getLogger("metaspec")
SLOW_IN_ONE = "ConvolutionBackward0"
LARGE = 1 << 20  # bytes that an evaluation makes; measured: docs/performance.md, "PyTorch beside forms by hand"
CAN_BE_TRIED: ContextVar[bool] = ContextVar("metaspec_torch_can_be_tried", default=False)
"""Whether who records can run a loss of which nothing is known on values first; another's recording goes on with it."""


class InTurnError(Exception):
    """Raised out of a computation on stacked tasks whose loss is not vectorised."""


class UntriedError(Exception):
    """Raised where a recording meets a loss of which nothing is known, as its stand-ins have no values to compare."""


class TaskLosses:
    """Losses of one task as functions of stacks, and what is known of each."""

    def __init__(self) -> None:
        self._looped: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

    def on_stacks(self, loss: Callable[[Tree, Tree], Any], known_by: Any) -> Callable[[Tree, Tree], Any]:
        """The loss, which also takes stacks; what is found out about it is remembered for the object `known_by`."""

        def of_stacks(params: Tree, batch: Tree) -> Any:
            if task_count() is None:
                return self._alone(loss, known_by, params, batch)
            with tasks_at_once(None):
                return self._computed(loss, known_by, params, batch)

        return of_stacks

    def _computed(self, loss: Callable[[Tree, Tree], Any], key: Any, params: Tree, batch: Tree) -> Any:
        known, name = _of(self._looped, key, dict)
        if known.get(name):
            raise InTurnError
        recording = get_proxy_mode() is not None
        if name not in known and recording and CAN_BE_TRIED.get():
            raise UntriedError
        if name not in known:  # what the loss itself raises comes from here, without vmap's share
            first, made = _first_task((params, batch)), _Made()
            counted = made.within(loss)
            alone = _recorded_value(counted(*first) if recording else _unwritten(counted, *first))
        try:
            returned = task_by_task(loss, params, batch)
            value = _recorded_value(returned)
            if name not in known and value is not None:
                _check_gradient(value, (params, batch), alone, first)
        except Exception as refusal:
            LOG.warning(
                "batch_meta_gradient: the loss runs task by task, as torch.vmap does not take it: %s", _why(refusal)
            )
            known[name] = True
            raise InTurnError from None
        if name not in known:
            in_turn = value is not None and _slow_at_once(value, made.bytes)
            if not recording:  # on stand-ins nothing was compared
                known[name] = in_turn
            if in_turn:
                raise InTurnError
        return returned

    def _alone(self, loss: Callable[[Tree, Tree], Any], key: Any, params: Tree, batch: Tree) -> Any:
        watched, name = _of(self._watched, key, set)
        if name in watched or get_proxy_mode() is not None or under_functorch():
            return loss(params, batch)
        returned = _unwritten(loss, params, batch)
        watched.add(name)
        return returned


def _of(kept: WeakKeyDictionary[Any, Any], key: Any, empty: Callable[[], Any]) -> tuple[Any, str]:
    """What is kept of the methods of one object, or of a function, and its name there; the object itself is not."""
    owner = getattr(key, "__self__", key)  # a bound method is made anew whenever it is asked for
    try:
        return kept.setdefault(owner, empty()), getattr(key, "__name__", "")
    except TypeError:  # it has no weak references, or no hash
        return empty(), ""


def _unwritten(loss: Callable[[Tree, Tree], Any], params: Tree, batch: Tree) -> Any:
    """Return loss(params, batch); once for each loss, as version counters do not see what is written by `.data`.

    Raises:
        MutationError: The loss wrote to what it was given.
    """
    given = [x for x in _leaves((params, batch)) if type(x) is torch.Tensor and x.layout is torch.strided]
    before = [x.detach().clone() for x in given]
    returned = loss(params, batch)
    if not all(torch.equal(x.detach().nan_to_num(), y.nan_to_num()) for x, y in zip(given, before, strict=True)):
        raise MutationError(MUTATED)
    return returned


def _slow_at_once(value: TaskStack, made: int) -> bool:
    return value.device.type == "cpu" and (made > LARGE or _contains(value.stacked.grad_fn, SLOW_IN_ONE))


class _Made(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def within(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return f, what its operations make counted."""

        def counted(*args: Any) -> Any:
            with self:
                return f(*args)

        return counted

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = f(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and not f.is_view:
            self.bytes += found.numel() * found.element_size()
        return found


def _why(refusal: Exception) -> str:
    lines = str(refusal).strip().splitlines() or [type(refusal).__name__]
    if "escaped from inside" in lines[0]:
        return "its backward pass computes a part of it again, as torch.utils.checkpoint does"
    return lines[0]


def _leaves(tree: Tree) -> list[Any]:
    leaves: list[Any] = optree.tree_leaves(tree, namespace=NAMESPACE)
    return leaves


def _recorded_value(tree: Tree) -> Any:
    """The first leaf, a stack or a tensor, that requires a gradient; None where there is none."""
    return next((leaf for leaf in _leaves(tree) if getattr(leaf, "requires_grad", False)), None)


def _check_gradient(value: TaskStack, given: Tree, alone: Any, first: Tree) -> None:
    """Raise where what `torch.vmap` recorded has no backward pass, as checkpoints have none, or another than the loss.

    Within `torch.vmap` no tensor says that it requires a gradient, and hooks on gradients are left out.
    """
    batched = _gradient(value.stacked, [leaf.stacked for leaf in _leaves(given) if isinstance(leaf, TaskStack)])
    if get_proxy_mode() is not None:
        return
    single = _gradient(alone, [leaf for leaf in _leaves(first) if isinstance(leaf, torch.Tensor)])
    gaps = [(x[0] - y).norm() for x, y in zip(batched, single, strict=True)]
    size = max((float(y.norm()) for y in single), default=0.0)
    if any(float(gap) > torch.finfo(gap.dtype).eps ** 0.5 * max(size, 1.0) for gap in gaps):
        raise ValueError("its gradient is another there than by itself; hooks on gradients are not called there")


def _gradient(value: torch.Tensor, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    active = [x for x in inputs if x.requires_grad]
    ones = torch.ones_like(value)
    shares = torch.autograd.grad(value, active, ones, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g.to_dense() for x, g in zip(active, shares, strict=True)]


def _first_task(tree: Tree) -> Tree:
    def first(x: Any) -> Any:
        return x.stacked[0].detach().requires_grad_(x.requires_grad) if isinstance(x, TaskStack) else x

    return optree.tree_map(first, tree, namespace=NAMESPACE)


def _contains(node: Any, name: str) -> bool:
    """Whether autograd's recording that ends in `node` has an operation of this name."""
    seen, waiting = {node}, [node]
    while waiting:
        node = waiting.pop()
        if node.name() == name:
            return True
        further = [parent for parent, _ in node.next_functions if parent is not None and parent not in seen]
        seen.update(further)
        waiting.extend(further)
    return False
