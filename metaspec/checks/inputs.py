"""Every check of what comes in from outside, and every error that it can give."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from metaspec.algorithms.base import Algorithm, Loss
from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.registry import owner_of
from metaspec.errors import (
    BackendMismatchError,
    InvalidArgumentError,
    InvalidTypeError,
    LossError,
    MetaspecError,
    MutationError,
    NonFiniteError,
)
from metaspec.task import MetaGradient, Task, Tree
from metaspec.trees import all_finite


def check_algorithm(algo: Any) -> None:
    """`algo` has what an Algorithm has."""
    if isinstance(algo, type) or not all(hasattr(algo, name) for name in ("adapt", "inner_batch", "meta_gradient")):
        raise InvalidTypeError(
            f"algo: expected an algorithm such as MAML(GradientDescent(lr=0.1, steps=5)), got {algo!r}"
        )


def check_params(B: Backend, params: Tree) -> None:
    """`params` is a tree with at least one leaf, every leaf a floating array of this backend."""
    if not B.tree_flatten(params)[0]:
        raise InvalidArgumentError("params: the tree has no leaves; expected at least one floating array")
    for name, leaf in _named(B, params, "params"):
        _check_owner(B, leaf, name)
        dtype = B.dtype_name(leaf)
        if not is_floating(dtype):
            raise InvalidTypeError(
                f"{name}: parameters must be real floating arrays, got dtype {dtype}; convert it, or move what "
                "is not to be differentiated into the batch"
            )


def check_data(B: Backend, batch: Tree, what: str) -> None:
    """Every leaf of `batch` is an array of this backend or a Python number."""
    for name, leaf in _named(B, batch, what):
        if not isinstance(leaf, bool | int | float):
            _check_owner(B, leaf, name)


def check_foreign(B: Backend, tree: Tree, what: str) -> None:
    """No leaf is another framework's array; what is no array at all is let through."""
    for name, leaf in _named(B, tree, what):
        if not B.is_array(leaf) and owner_of(leaf) is not None:
            _check_owner(B, leaf, name)


def check_task(B: Backend, task: Any) -> None:
    """`task` is a Task of this backend's arrays."""
    if not isinstance(task, Task):
        raise InvalidTypeError(f"task: expected metaspec.Task(support, query), got {type(task).__name__}")
    check_data(B, task.support, "task.support")
    check_data(B, task.query, "task.query")


def check_stacked(B: Backend, tasks: Task) -> int:
    """The number of tasks of a stacked batch: the length of axis 0, the same in every leaf and at least 1."""
    lengths: dict[str, int] = {}
    for name, tree in (("tasks.support", tasks.support), ("tasks.query", tasks.query)):
        for path, leaf in zip(B.tree_paths(tree), B.tree_flatten(tree)[0], strict=True):
            shape = tuple(getattr(leaf, "shape", ()))
            if not shape:
                raise InvalidArgumentError(
                    f"{name}{path}: a stacked batch needs an axis over tasks in every leaf, got a scalar"
                )
            lengths[f"{name}{path}"] = int(shape[0])
    if not lengths:
        raise InvalidArgumentError("tasks: no leaves in support or query; expected arrays stacked along axis 0")
    if len(set(lengths.values())) > 1:
        raise InvalidArgumentError(
            "tasks: leaves of a stacked batch must agree in axis 0, the number of tasks; got "
            + ", ".join(f"{name}: {n}" for name, n in lengths.items())
            + ". Tasks of unequal size go in as a sequence of Task"
        )
    count = next(iter(lengths.values()))
    if count == 0:
        raise InvalidArgumentError("tasks: zero tasks; expected at least one")
    return count


def check_sequence(tasks: Any) -> Sequence[Task]:
    """`tasks` as a non-empty sequence of Task."""
    if not isinstance(tasks, Sequence) or isinstance(tasks, str):
        raise InvalidTypeError(
            f"tasks: expected a Task with leaves stacked on axis 0, or a sequence of Task, got {type(tasks).__name__}"
        )
    if not tasks:
        raise InvalidArgumentError("tasks: zero tasks; expected at least one")
    for i, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise InvalidTypeError(f"tasks[{i}]: expected metaspec.Task(support, query), got {type(task).__name__}")
    return tasks


MUTATED = (
    "loss: it changed its parameters or its batch in place; write new values to new variables (p + 1, not p += 1, "
    "p[...] = 1 or p.add_(1)): both belong to the caller"
)


def lift_loss(B: Backend, loss: Any, has_aux: bool) -> Loss:
    """The user's loss as (params, batch) -> (value, aux), its result and its manners checked at every call."""
    if not callable(loss):
        raise InvalidTypeError(f"loss: expected a function (params, batch) -> scalar, got {type(loss).__name__}")

    def lifted(params: Tree, batch: Tree) -> tuple[Any, Any]:
        params, batch = B.guard.read_only_view((params, batch))
        leaves = B.tree_flatten((params, batch))[0]  # the loss may bind new values in its containers, as it likes
        mark = B.guard.version_counter(leaves)
        try:
            returned = loss(params, batch)
        except ValueError as error:
            if isinstance(error.__cause__, MetaspecError):  # NumPy wraps what was raised while it looked at an element
                raise error.__cause__ from None
            if "read-only" not in str(error):
                raise
            raise MutationError(MUTATED) from error
        if B.guard.version_counter(leaves) != mark:
            raise MutationError(MUTATED)
        value, aux = _split(returned) if has_aux else (returned, None)
        _check_value(B, value)
        return value, aux

    return lifted


def _split(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise LossError(f"loss: with has_aux=True it must return (value, aux), got {type(returned).__name__}")
    return returned


def _check_value(B: Backend, value: Any) -> None:
    expected = "expected a floating scalar array (shape ())"
    if not B.is_array(value):
        hint = "; pass has_aux=True for a loss that returns (value, aux)" if isinstance(value, tuple) else ""
        raise LossError(f"loss: it returned {_describe(value)}, {expected} of backend {B.name!r}{hint}")
    if tuple(value.shape) != ():
        raise LossError(f"loss: it returned shape {tuple(value.shape)}, {expected}; reduce it, e.g. with xp.mean")
    if not is_floating(B.dtype_name(value)):
        raise LossError(f"loss: it returned dtype {B.dtype_name(value)}, {expected}")


def _describe(value: Any) -> str:
    owner = owner_of(value)
    if owner is not None:
        return f"an array of backend {owner!r}"
    if value is None:
        return "None"
    shown = f"{value!r:.80} of " if isinstance(value, str | int | float | complex) else ""  # a tracer's repr may fail
    return f"{shown}type {type(value).__name__}"


@dataclass(frozen=True)
class _LeafName:
    """A leaf's name, worked out only when a message needs it."""

    backend: Backend
    tree: Tree
    what: str
    index: int

    def __str__(self) -> str:
        return self.what + self.backend.tree_paths(self.tree)[self.index].removeprefix("root")


def _named(B: Backend, tree: Tree, what: str) -> Iterator[tuple[_LeafName, Any]]:
    for i, leaf in enumerate(B.tree_flatten(tree)[0]):
        yield _LeafName(B, tree, what, i), leaf


def _check_owner(B: Backend, leaf: Any, where: _LeafName) -> None:
    if B.is_array(leaf):
        return
    owner = owner_of(leaf)
    if owner is None:
        raise InvalidTypeError(
            f"{where}: expected an array of backend {B.name!r}, got {leaf!r:.80} of type {type(leaf).__name__}; "
            f"convert the tree with metaspec.asarray(tree, backend={B.name!r})"
        )
    if owner == B.name:
        raise InvalidTypeError(
            f"{where}: expected an array of backend {B.name!r}, got {type(leaf).__name__}, which is none; a model goes "
            "in as the tree of its parameters, see the examples"
        )
    raise BackendMismatchError(
        f"{where}: the backend is {B.name!r}, but this is an array of {owner!r} ({type(leaf).__name__}); choose "
        f"backend={owner!r}, or convert the tree with metaspec.asarray(tree, backend={B.name!r})"
    )


def check_finite(
    B: Backend, algo: Algorithm, loss: Loss, params: Tree, task: Task, r: MetaGradient, origin: str = ""
) -> None:
    """Raise where `r` holds NaN or infinity: at which inner step and in which leaf it first arose."""
    flag = r.diagnostics.finite
    if not B.is_concrete(flag) or bool(B.to_numpy(flag).all()):
        return
    if flag.ndim:
        i = int(B.to_numpy(flag).argmin())
        origin, rows = f"task {i}: ", B.tree_flatten(task)
        task = B.tree_unflatten(rows[1], [leaf[i, ...] for leaf in rows[0]])
    raise NonFiniteError(origin + (_inner_origin(B, algo, loss, params, algo.inner_batch(B, task)) or OUTER_ORIGIN))


def check_adapted(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree, theta: Tree) -> None:
    """Raise where the adapted parameters hold NaN or infinity, as `check_finite` does."""
    finite = all_finite(B, theta)
    if B.is_concrete(finite) and not bool(B.to_numpy(finite)):
        raise NonFiniteError(_inner_origin(B, algo, loss, params, batch) or "adapted: NaN or infinity")


OUTER_ORIGIN = (
    "the inner loop stayed finite, the meta-gradient did not: NaN or infinity arose in the query loss's gradient, "
    "a Hessian-vector product or the linear solve (is its matrix singular?)"
)


def _inner_origin(B: Backend, algo: Algorithm, loss: Loss, params: Tree, batch: Tree) -> str:
    """The inner step and leaf where NaN or infinity first arose, if it did; what is not finite stays so: bisection."""
    if bad := _bad_leaf(B, params):
        return f"params{bad}: the meta-parameters themselves are not finite"
    steps = getattr(algo.inner, "steps", None)
    if steps is None or not is_dataclass(algo) or not is_dataclass(algo.inner):
        return ""

    def bad_after(k: int) -> str:
        shorter: Any = replace(algo, inner=replace(algo.inner, steps=k))
        return _bad_leaf(B, shorter.adapt(B, loss, params, batch))

    first = bisect_left(range(steps + 1), True, key=lambda k: bool(bad_after(k)))
    if first > steps:
        return ""
    return (
        f"the inner loop: NaN or infinity arose at inner step {first} of {steps}, in leaf {bad_after(first)}; lower "
        "the inner learning rate, or look at the loss and its gradient on the support set"
    )


def _bad_leaf(B: Backend, tree: Tree) -> str:
    for path, leaf in zip(B.tree_paths(tree), B.tree_flatten(tree)[0], strict=True):
        if not bool(B.to_numpy(B.xp.all(B.xp.isfinite(leaf)))):
            return path
    return ""
