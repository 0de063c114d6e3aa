"""Meta-training: one compiled step, repeated."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, NamedTuple

from metaspec.algorithm import Algorithm
from metaspec.api import batch_meta_gradient, compile
from metaspec.arrays import asarray, computing, plain_leaves
from metaspec.checks import check_members, checked_integer
from metaspec.choice import resolve
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidTypeError, NonFiniteError
from metaspec.protocol import Backend
from metaspec.task import Task, Tree
from metaspec.training.optimizers import Adam, Optimizer


class StepRecord(NamedTuple):
    """One outer step: its number (from 0), the mean query loss after adaptation, and the seconds that it took."""

    step: int
    query_loss: float
    seconds: float


class Progress(NamedTuple):
    """Where a training stands after a step: the record of the step and what it left behind."""

    record: StepRecord
    params: Tree
    optimizer_state: Tree


@dataclass(frozen=True)
class Run:
    """What `meta_train` returns.

    Attributes:
        params: The trained meta-parameters.
        optimizer_state: The outer optimiser's state, to go on with.
        steps: The number of outer steps taken so far; the next step's number.
        history: One StepRecord per step.
    """

    params: Tree
    optimizer_state: Tree
    steps: int
    history: tuple[StepRecord, ...] = field(repr=False)


def meta_train(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    *,
    steps: int,
    tasks_per_step: int = 25,
    optimizer: Optimizer | None = None,
    resume: Run | None = None,
    callback: Callable[[StepRecord], Any] | None = None,
    backend: str | Backend | None = None,
) -> Run:
    """Algorithm 1 of the field: sample tasks, adapt to each, move the meta-parameters along the mean meta-update.

    phi <- optimizer(phi, mean_t delta_t), `steps` times, on the source's batches number 0, 1, ...

    Args:
        algo: The algorithm.
        loss: As in `meta_gradient`.
        params: The first meta-parameters; NumPy arrays are converted to the chosen backend.
        task_source: Gives `batch(step, size)`: a stacked Task of NumPy arrays.
        steps: Number of outer steps, >= 0.
        tasks_per_step: The meta-batch size.
        optimizer: Adam(1e-3) unless given.
        resume: A Run to go on from; `params` is then its own and `steps` are added.
        callback: Called after each step.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        Run.

    Raises:
        NonFiniteError: NaN or infinity arose; the message names the outer step, the inner step and the leaf.
        MetaspecError: As `batch_meta_gradient`.

    Example:
        >>> from metaspec import data, nn
        >>> network = nn.sinusoid_mlp()
        >>> algo = ms.MAML(ms.GradientDescent(lr=0.01, steps=1))
        >>> run = ms.meta_train(algo, network.loss, network.init(seed=0), data.Sinusoid(), steps=100, backend="numpy")
    """
    steps = checked_integer(steps, "meta_train: steps", least=0)
    if resume is not None and not isinstance(resume, Run):
        raise InvalidTypeError(f"meta_train: resume must be a Run or None, got {type(resume).__name__}")
    B = resolve(backend, plain_leaves(params))
    outer = Adam() if optimizer is None else optimizer
    check_members(outer, "meta_train: optimizer", ("init", "update"), "Adam(lr=1e-3)")
    if resume is None:
        with computing(B, params):
            params = asarray(params, backend=B)
            resume = Run(params, outer.init(B, params), 0, ())
    history, params, state = list(resume.history), resume.params, resume.optimizer_state
    for progress in islice(
        training_steps(algo, loss, params, task_source, outer, state, resume.steps, tasks_per_step, backend=B), steps
    ):
        record, params, state = progress
        history.append(record)
        if callback is not None:
            callback(record)
    return Run(params, state, resume.steps + steps, tuple(history))


def training_steps(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    optimizer: Optimizer,
    optimizer_state: Tree | None = None,
    first_step: int = 0,
    tasks_per_step: int = 25,
    *,
    backend: str | Backend | None = None,
) -> Iterator[Progress]:
    """The outer steps of `meta_train`, one after the other and without end, for a loop of one's own.

    Args:
        algo: As in `meta_train`.
        loss: As in `meta_train`.
        params: As in `meta_train`.
        task_source: As in `meta_train`.
        optimizer: The outer optimiser.
        optimizer_state: Its state; None starts afresh.
        first_step: The number of the first batch to take.
        tasks_per_step: As in `meta_train`.
        backend: As in `meta_train`.

    Yields:
        Progress after each step; nothing of an unfinished step is seen.

    Raises:
        NonFiniteError: As `meta_train`. What was yielded last is still good.
    """
    size = checked_integer(tasks_per_step, "meta_train: tasks_per_step", least=1)
    if not isinstance(task_source, TaskSource):
        raise InvalidTypeError(
            f"meta_train: task_source needs task(index) and batch(step, size), got {type(task_source).__name__}"
        )
    B = resolve(backend, plain_leaves(params))

    def one_step(params: Tree, state: Tree, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
        r = batch_meta_gradient(algo, loss, params, tasks, backend=B)
        return *optimizer.update(B, params, state, r.delta), r.query_loss, B.xp.all(r.diagnostics.finite)

    compiled = compile(one_step, backend=B)
    with computing(B, params):
        params = asarray(params, backend=B)
        state = optimizer.init(B, params) if optimizer_state is None else optimizer_state
    for step in count(first_step):
        start = time.perf_counter()
        with computing(B, params):
            tasks = asarray(task_source.batch(step, size), backend=B)
            new_params, state, query_loss, finite = compiled(params, state, tasks)
            if not bool(B.to_numpy(finite)):
                _explain(B, algo, loss, params, tasks, step)
        params = new_params
        yield Progress(StepRecord(step, float(B.to_numpy(query_loss)), time.perf_counter() - start), params, state)


def _explain(B: Backend, algo: Algorithm, loss: Any, params: Tree, tasks: Task, step: int) -> None:
    """Take the step again where values can be looked at; the error then says where in the inner loop it was."""
    try:
        batch_meta_gradient(algo, loss, params, tasks, backend=B)
    except NonFiniteError as error:
        raise NonFiniteError(f"outer step {step}: {error}") from None
    raise NonFiniteError(
        f"outer step {step}: NaN or infinity arose in the compiled step alone; the same step taken without compilation "
        "is finite"
    )
