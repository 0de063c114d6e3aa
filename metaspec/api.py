"""The functions that a user calls. Each resolves the backend, checks what came in, and hands over to the algorithm."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

from metaspec.algorithms.base import Algorithm, check_algorithm
from metaspec.algorithms.batching import chosen_chunk, over_tasks
from metaspec.algorithms.diagnosis import check_adapted, check_finite
from metaspec.backend.arrays import computing, plain_leaves, wide_format
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import active, chosen_backend, resolve
from metaspec.checks.arguments import check_choice, checked_integer
from metaspec.checks.inputs import (
    check_data,
    check_foreign,
    check_params,
    check_sequence,
    check_stacked,
    check_task,
)
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.losses.lifting import lift_loss
from metaspec.task import MetaGradient, Task, Tree
from metaspec.trees import mean0, tree_map

UserLoss = Callable[[Tree, Tree], Any]
Tier = Literal["default", "native"]
TIERS: tuple[Tier, ...] = ("default", "native")


def meta_gradient(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    task: Task,
    *,
    has_aux: bool = False,
    backend: str | Backend | None = None,
) -> MetaGradient:
    """The meta-update of one task.

    Args:
        algo: MAML, FOMAML, Reptile, IMAML or anything else that is an Algorithm; its docstring gives the formula.
        loss: A pure function (params, batch) -> scalar, in the framework of `params` or portable (`array_namespace`).
            All randomness comes in through the batch.
        params: The meta-parameters phi: a tree of floating arrays.
        task: Support and query, trees of arrays of the same framework.
        has_aux: The loss returns (value, aux); the query set's aux is in the result.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        MetaGradient; `delta` has the structure, shapes and dtypes of `params`.

    Raises:
        BackendMismatchError: Arrays of another framework than the chosen one, or of several.
        InvalidArgumentError, InvalidTypeError: `params` is empty or not floating, `task` is no Task, `lr` does not fit.
        LossError: The loss did not return a floating scalar.
        MutationError: The loss changed its parameters in place.
        NonFiniteError: NaN or infinity arose; the message says at which step and in which leaf. Under a trace, where
            values cannot be looked at, `diagnostics.finite` says it instead.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> loss = lambda p, batch: ((p["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> task = ms.Task(*({"x": np.ones(3), "y": np.full(3, y)} for y in (2.0, 3.0)))
        >>> r = ms.meta_gradient(ms.MAML(ms.GradientDescent(lr=0.1, steps=1)), loss, {"w": np.array(1.0)}, task)
        >>> float(np.round(r.delta["w"], 6))
        -2.88
    """
    check_algorithm(algo)
    B, params = _enter(backend, params)
    check_task(B, task)
    task = B.guard.detach(task)
    lifted = lift_loss(B, loss, has_aux)
    with computing(B, params):
        r = algo.meta_gradient(B, lifted, params, task)
        check_finite(B, algo, lifted, params, task, r)
    return B.guard.detach(r)


def batch_meta_gradient(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    tasks: Task | Sequence[Task],
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    backend: str | Backend | None = None,
) -> MetaGradient:
    """The mean over a meta-batch of the tasks' meta-updates.

    Args:
        algo: As in `meta_gradient`.
        loss: As in `meta_gradient`.
        params: As in `meta_gradient`.
        tasks: One Task whose every leaf has a leading axis over tasks, computed as one batched computation (eager
            TensorFlow: task by task; compile it); or a
            sequence of Task, which may differ in size (tasks of one size are stacked and batched).
        has_aux: As in `meta_gradient`; the aux of a batch is stacked.
        chunk_size: How many tasks of one size are computed at once: 1, one after the other; n, in chunks of n (the last
            may be smaller). None: by the rule of docs/performance.md, from the number of parameters and of tasks.
        backend: As in `meta_gradient`.

    Returns:
        MetaGradient: `delta` and `query_loss` are means over the tasks, each task weighing the same whatever its size;
        `adapted` and `diagnostics` (and `aux` where the tasks are of one size, else a list) are per task, axis 0.

    Raises:
        InvalidArgumentError: Zero tasks, leaves of a stacked batch that disagree in axis 0, a `chunk_size` below 1.
        MetaspecError: As `meta_gradient`.
    """
    check_algorithm(algo)
    B, params = _enter(backend, params)
    lifted = lift_loss(B, loss, has_aux)
    chunk = None if chunk_size is None else checked_integer(chunk_size, "batch_meta_gradient: chunk_size", least=1)

    def per_task(task: Task) -> MetaGradient:
        r = algo.meta_gradient(B, lifted, params, task)
        return r._replace(aux=tree_map(B, lambda leaf: leaf if B.is_array(leaf) else B.asarray(leaf), r.aux))

    with computing(B, params):
        if isinstance(tasks, Task):
            check_task(B, tasks)
            count = check_stacked(B, tasks)
            stacked = B.guard.detach(tasks)
        else:
            sequence = [B.guard.detach(task) for task in check_sequence(tasks)]
            for task in sequence:
                check_task(B, task)
            if not _of_one_size(B, sequence):
                rows = [per_task(task) for task in sequence]
                for i, (task, row) in enumerate(zip(sequence, rows, strict=True)):
                    check_finite(B, algo, lifted, params, task, row, origin=f"task {i}: ")
                auxes = [row.aux for row in rows]
                joined = B.guard.detach(B.tree_stack([row._replace(aux=None) for row in rows]))
                return _mean(B, joined)._replace(aux=auxes if has_aux else None)
            stacked, count = B.tree_stack(sequence), len(sequence)
        r = over_tasks(B, per_task, params, stacked, count, chunk or chosen_chunk(B, params, count))
        check_finite(B, algo, lifted, params, stacked, r)
        return B.guard.detach(r)


def adapt(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    support: Tree,
    *,
    has_aux: bool = False,
    backend: str | Backend | None = None,
) -> Tree:
    """Meta-test: the parameters that the algorithm's inner loop reaches from `params` on a support set.

    Args:
        algo: As in `meta_gradient`.
        loss: As in `meta_gradient`.
        params: As in `meta_gradient`.
        support: A tree of arrays, as the loss reads it.
        has_aux: The loss returns (value, aux); the aux is dropped.
        backend: As in `meta_gradient`.

    Returns:
        theta_K, a tree like `params`.

    Raises:
        MetaspecError: As `meta_gradient`.
    """
    check_algorithm(algo)
    B, params = _enter(backend, params)
    check_data(B, support, "support")
    with computing(B, params):
        lifted, support = lift_loss(B, loss, has_aux), B.guard.detach(support)
        theta = algo.adapt_to(B, lifted, params, support)
        check_adapted(B, algo, lifted, params, support, theta)
        return B.guard.detach(theta)


def compile(
    f: Callable[..., Tree],
    *,
    tier: Tier = "default",
    donate: Sequence[int] = (),
    backend: str | Backend | None = None,
) -> Callable[..., Tree]:
    """f made fast for repeated calls with arguments of equal structure, shapes and dtypes.

    Args:
        f: A pure function of trees of arrays, such as a closure over `batch_meta_gradient`. It is traced: it must not
            look at the values of its arguments. Arguments by position; a leaf that is no array (a number, a string,
            an object, told from others by what it pickles to) is a constant of the trace, and each new value of it a
            new trace: pass as an array what changes often. What f closes over must not change either.
        tier: "default": what takes seconds to compile. "native": machine code from the framework's best compiler,
            however long that takes. They differ in PyTorch, whose default replays the recorded operations: native code
            (torch.compile's, with a C++ compiler) is faster, after seconds to minutes of compiling, of which the
            logger "metaspec" tells; PyTorch keeps it on disk for the next process.
        donate: Positions of arguments whose memory the results may use: parameters that a training step replaces, say.
            They must not be read after the call. JAX makes use of it; elsewhere it has no effect.
        backend: Name or instance; by default as chosen at each call, else the framework of the arguments.

    Returns:
        A function of the same arguments. The first call with new shapes traces and compiles. Errors that depend on
        values (NonFiniteError) are not raised inside: look at `diagnostics.finite`.

    Raises:
        InvalidArgumentError, InvalidTypeError: f is no function, an unknown tier, a position that is none; at a call, f
            looks at the values of its arguments (NumPy, PyTorch; JAX and TensorFlow raise errors of their own).

    Example:
        >>> step = ms.compile(lambda params, tasks: ms.batch_meta_gradient(algo, loss, params, tasks))
        >>> r = step(params, tasks)
    """
    if not callable(f):
        raise InvalidTypeError(f"compile: expected a function of trees of arrays, got {type(f).__name__}")
    check_choice(tier, "compile: tier", TIERS)
    donated = tuple(checked_integer(position, "compile: donate", least=0) for position in donate)
    compiled: dict[Backend, Callable[..., Tree]] = {}
    seen: dict[Any, tuple[Backend, str | None]] = {}  # kinds of leaves that were looked at -> what was found
    recent: Backend | None = None  # its own flattening is the fastest, and shows whether all leaves are arrays of it

    def look(args: Tree) -> tuple[Backend, str | None]:
        if donated and max(donated) >= len(args):
            raise InvalidArgumentError(
                f"compile: donate={tuple(donate)} names argument {max(donated)}, counted from 0; there are {len(args)}"
            )
        B = resolve(backend, plain_leaves(args), "arguments")
        check_foreign(B, args, "arguments")
        if B not in compiled:
            as_asked = tier != "default" or donated
            compiled[B] = (
                B.tuning.compile_with(f, native=tier == "native", donate=donated) if as_asked else B.compile(f)
            )
        return B, wide_format(B, args)

    @wraps(f)
    def call(*args: Tree) -> Tree:
        nonlocal recent
        found = None if recent is None else seen.get(_kinds(recent, args))
        if found is None:
            found = look(args)
            if all(map(found[0].is_array, found[0].tree_flatten(args)[0])):  # else a leaf may hold others
                recent = found[0]
                seen[_kinds(recent, args)] = found
        B, wide = found
        token = active.set(B)
        try:
            with B.guard.compute_context(wide):
                return compiled[B](*B.guard.detach(args))
        finally:
            active.reset(token)

    return call


def _kinds(B: Backend, args: Tree) -> Any:
    """What the backend and the widest format of these arguments follow from."""
    leaves = B.tree_flatten(args)[0]
    return (chosen_backend(), *map(type, leaves), *[getattr(leaf, "dtype", None) for leaf in leaves])


def _enter(backend: str | Backend | None, params: Tree) -> tuple[Backend, Tree]:
    B = resolve(backend, plain_leaves(params))
    check_params(B, params)
    return B, B.guard.detach(params)


def _of_one_size(B: Backend, tasks: Sequence[Task]) -> bool:
    def sizes(task: Task) -> tuple[Any, list[Any]]:
        leaves, structure = B.tree_flatten(task)
        return structure, [(tuple(leaf.shape), B.dtype_name(leaf)) if B.is_array(leaf) else None for leaf in leaves]

    first = sizes(tasks[0])
    return None not in first[1] and all(sizes(task) == first for task in tasks[1:])


def _mean(B: Backend, r: MetaGradient) -> MetaGradient:
    return r._replace(delta=mean0(B, r.delta), query_loss=mean0(B, r.query_loss))
