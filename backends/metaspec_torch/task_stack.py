"""Tensors of many tasks at once, seen as one task's tensor.

Algorithms are written for one task. Over a meta-batch they compute with a `TaskStack` in place of a tensor: it has one
task's shape, and holds the entries of all tasks stacked along axis 0. Arithmetic on it is arithmetic on the stacked
tensors, so autograd records it as if it had been written for stacks by hand. A function without a rule here is applied
through `torch.vmap`, one function at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import Any

import array_api_compat.torch as compat
import optree
import torch

from metaspec.backend.protocol import NAMESPACE
from metaspec.task import Tree
from metaspec_torch._private import mapped_over
from metaspec_torch.stacked_functions import OPERATORS, NoRuleError, Stacked, on_stacks

_COUNT: ContextVar[int | None] = ContextVar("metaspec_torch_task_count", default=None)


class tasks_at_once:  # noqa: N801 (a context manager; as a class it takes a third of a generator's time)
    """Context in which what differs from task to task is a `TaskStack` of this many tasks; None: nothing is."""

    __slots__ = ("_count", "_token")

    def __init__(self, count: int | None) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._token: Token[int | None] = _COUNT.set(self._count)

    def __exit__(self, *raised: object) -> None:
        _COUNT.reset(self._token)


def task_count() -> int | None:
    """The number of tasks that are computed at once; None outside of `tasks_at_once`."""
    return _COUNT.get()


class TaskStack(Stacked):
    """One task's tensor, of every task, for algorithms, which ask for an array: smaller than a tensor, and faster."""

    __slots__ = ("stacked",)
    __hash__ = object.__hash__  # beside an __eq__ entry by entry, as tensors have it

    def __init__(self, stacked: torch.Tensor) -> None:
        self.stacked = stacked

    @property
    def shape(self) -> torch.Size:
        """The shape of one task's tensor."""
        return self.stacked.shape[1:]

    @property
    def ndim(self) -> int:
        """The number of axes of one task's tensor."""
        return int(self.stacked.ndim) - 1

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the entries."""
        return self.stacked.dtype

    @property
    def device(self) -> torch.device:
        """Where the entries are."""
        return self.stacked.device

    @property
    def requires_grad(self) -> bool:
        """Whether autograd records what is computed from it."""
        return bool(self.stacked.requires_grad)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return compat

    def __bool__(self) -> bool:
        raise TypeError("the values of several tasks at once have no single truth; use xp.where in place of `if`")

    def __getitem__(self, index: Any) -> Any:
        return self.__torch_function__(torch.Tensor.__getitem__, (), (self, index))

    def __getattr__(self, name: str) -> Any:
        member = getattr(torch.Tensor, name)
        if not callable(member):
            return task_by_task(getattr, self, name)
        return lambda *args, **options: self.__torch_function__(member, (), (self, *args), options)

    @classmethod
    def __torch_function__(
        cls, f: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return TaskStack(on_stacks(f, args, options))
        except NoRuleError:
            return task_by_task(f, *args, **(options or {}))


def _operator(name: str) -> Callable[..., Any]:
    f = getattr(torch.Tensor, name)

    def applied(x: TaskStack, *others: Any) -> Any:
        stacked = x.stacked
        if not others:
            return TaskStack(f(stacked))
        (other,) = others
        if isinstance(other, TaskStack):  # the common cases first: algorithms are made of these
            if other.stacked.ndim == stacked.ndim and other.stacked.dtype == stacked.dtype:
                return TaskStack(f(stacked, other.stacked))
        elif isinstance(other, int | float):
            return TaskStack(f(stacked, other))
        return TaskStack.__torch_function__(f, (), (x, other))

    return applied


for _name in OPERATORS.split():
    setattr(TaskStack, f"__{_name}__", _operator(f"__{_name}__"))


def task_by_task(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """f(*args, **options) by `torch.vmap` over the stacks in its arguments; tensors that it returns are stacks."""
    leaves, structure = _flat((args, options))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, TaskStack)]
    if not places:
        return f(*args, **options)
    out: list[Any] = []

    def of_rows(*rows: torch.Tensor) -> list[Any]:
        mine = list(leaves)
        for place, row in zip(places, rows, strict=True):
            mine[place] = row
        given, named = optree.tree_unflatten(structure, mine)
        found, *out[:] = _flat(f(*given, **named))
        return found

    found = mapped_over(of_rows, [leaves[place].stacked for place in places])
    return optree.tree_unflatten(out[0], [TaskStack(x) if isinstance(x, torch.Tensor) else x for x in found])


def _flat(tree: Tree) -> tuple[list[Any], Any]:
    leaves, structure = optree.tree_flatten(tree, namespace=NAMESPACE)
    return leaves, structure


def stacks_of(leaves: Sequence[Any]) -> list[torch.Tensor]:
    """The stacked tensors of leaves; outside of `tasks_at_once` the leaves themselves."""
    count = _COUNT.get()
    return [x.stacked if type(x) is TaskStack else stacked_over(count, x) for x in leaves]


def as_stacks(tensors: Sequence[torch.Tensor]) -> Sequence[Any]:
    """Stacks of these tensors; outside of `tasks_at_once` the tensors themselves."""
    return tensors if _COUNT.get() is None else [TaskStack(x) for x in tensors]


def entry_sum(x: torch.Tensor, first: int) -> torch.Tensor:
    """The sum over the axes from `first` on."""
    return x.sum(tuple(range(first, x.ndim))) if x.ndim > first else x


def stacked_over(count: int | None, x: Any) -> torch.Tensor:
    """The stacked tensor of x; of one that is the same for all tasks, that tensor for each of `count`."""
    if isinstance(x, TaskStack):
        return x.stacked
    return x if count is None else x.expand(count, *x.shape)
