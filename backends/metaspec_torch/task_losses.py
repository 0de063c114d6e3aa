"""How a loss is computed for many tasks at once: by rules for stacked tensors, by `torch.vmap`, or not at all.

The loss alone is vectorised; derivatives are taken outside of it. Rules are faster, and there are some for the
functions that most losses are made of (`stacked_functions`); a loss with other functions goes through `torch.vmap`. One
task after the other it is where `torch.vmap` refuses (recurrent layers, `if` on values, a gradient inside of the loss),
and on CPUs for convolutions: with weights of each task's own they become grouped convolutions, which take longer than
one after the other. On CPUs it is so too where a task's evaluation makes so much that calls cost little beside it. A
task then goes through the whole of its algorithm before the next begins, so that only one task's recording is kept.

A loss that is met for the first time, or with new shapes, is evaluated on the first task alone as well: value and
gradient must agree.
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
from metaspec_torch.stacked_tensor import StackedTensor, rules_at_work
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
        self._forms: WeakKeyDictionary[Any, dict[str, _Known]] = WeakKeyDictionary()
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
        forms, name = _of(self._forms, key, dict)
        known = forms.setdefault(name, _Known())
        if known.form == len(FORMS):
            raise InTurnError
        leaves = _leaves((params, batch))
        differentiated, recording, trial = torch.is_grad_enabled(), get_proxy_mode() is not None, None
        shapes = differentiated, *((x.shape, x.dtype) for x in leaves if isinstance(x, torch.Tensor | TaskStack))
        if shapes not in known.shapes:
            if recording and CAN_BE_TRIED.get():
                raise UntriedError
            trial = _Trial(loss, params, batch)  # what the loss itself raises comes from here, without vmap's share
        first = max(known.form, trial.first_form if trial else 0, 0 if differentiated else 1)
        for number in range(first, len(FORMS)):
            try:
                returned = FORMS[number](loss, params, batch)
                value = _recorded_value(returned)
                if trial is not None:
                    trial.check(value, leaves)
                break
            except MutationError:
                raise
            except Exception as refusal:
                why = refusal
                trial = trial or _Trial(loss, params, batch)
        else:
            LOG.warning(
                "batch_meta_gradient: the loss runs task by task, as torch.vmap does not take it: %s", _why(why)
            )
            known.form = len(FORMS)
            raise InTurnError
        undecided = value is not None and not known.decided
        in_turn = trial is not None and undecided and trial.is_slow_at_once(value)
        if trial is not None and not recording:  # on stand-ins nothing was compared
            known.shapes.add(shapes)
            known.decided = known.decided or undecided
            known.form = len(FORMS) if in_turn else number if differentiated else known.form
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


class _Known:
    """What was found out about a loss.

    Attributes:
        form: The number of its form; that after the last where it runs task by task.
        decided: Whether an evaluation has decided if it runs task by task, as it does ever after.
        shapes: Shapes and dtypes for which it was held against itself: by them a loss may take another way.
    """

    def __init__(self) -> None:
        self.form, self.decided = 0, False
        self.shapes: set[Any] = set()


class _Trial:
    """A loss on the first task alone, with which what is computed of all tasks at once is compared."""

    def __init__(self, loss: Callable[[Tree, Tree], Any], params: Tree, batch: Tree) -> None:
        self._first, self._made = _first_task((params, batch)), _Made()
        watched = self._made.within(loss)
        self._recording = get_proxy_mode() is not None
        returned = watched(*self._first) if self._recording else _unwritten(watched, *self._first)
        self._value = _recorded_value(returned)

    @property
    def first_form(self) -> int:
        """The form to begin with; rules do not see what the loss draws."""
        return int(self._recording or self._value is None or self._made.draws)

    def check(self, value: TaskStack | None, given: Sequence[Any]) -> None:
        """Raise where value or gradient of the first task are others than by itself.

        `torch.vmap` records checkpoints without a backward pass, and leaves out hooks on gradients.
        """
        if value is None or self._value is None:
            if value is not self._value:
                raise ValueError("its value depends on other parameters there than by itself")
            return
        batched = _gradient(value.stacked, [leaf.stacked for leaf in given if isinstance(leaf, TaskStack)])
        if self._recording:  # on stand-ins there is nothing to compare
            return
        if value.dtype != self._value.dtype or not _agree([value.stacked[0]], [self._value]):
            raise ValueError("its value is another there than by itself")
        single = _gradient(self._value, [leaf for leaf in _leaves(self._first) if isinstance(leaf, torch.Tensor)])
        if not _agree([x[0] for x in batched], single):
            raise ValueError("its gradient is another there than by itself; hooks on gradients are not called there")

    def is_slow_at_once(self, value: TaskStack) -> bool:
        """Return whether one task after the other is faster."""
        large = self._made.bytes > LARGE or _contains(value.stacked.grad_fn, SLOW_IN_ONE)
        return value.device.type == "cpu" and large


def _agree(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
    gaps = [(x - y).detach().norm() for x, y in zip(found, expected, strict=True)]
    size = max((float(y.detach().norm()) for y in expected), default=0.0)
    return not any(float(gap) > torch.finfo(gap.dtype).eps ** 0.5 * max(size, 1.0) for gap in gaps)


class _Made(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, and looks whether one draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.draws = 0, False

    def within(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return f, what its operations make counted."""

        def counted(*args: Any) -> Any:
            with self:
                return f(*args)

        return counted

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = f(*args, **(kwargs or {}))
        self.draws |= torch.Tag.nondeterministic_seeded in f.tags
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


def by_rules(loss: Callable[[Tree, Tree], Any], params: Tree, batch: Tree) -> Any:
    """The loss of every task, by rules for stacked tensors.

    Raises:
        NoRuleError: It has a function without a rule.
    """
    given: Tree = params, batch
    with rules_at_work():
        returned: Tree = loss(*optree.tree_map(_as_tensor, given, namespace=NAMESPACE))
    return optree.tree_map(_as_stack, returned, namespace=NAMESPACE)


def _as_tensor(x: Any) -> Any:
    return StackedTensor.of(x.stacked) if isinstance(x, TaskStack) else x


def _as_stack(x: Any) -> Any:
    return TaskStack(x.stacked) if isinstance(x, StackedTensor) else x


FORMS = by_rules, task_by_task
"""Ways to compute a loss of all tasks at once, the fastest first: (loss, params, batch) -> what the loss returns."""
