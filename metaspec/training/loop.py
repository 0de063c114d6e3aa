"""Meta-training: one compiled step, repeated."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metaspec.algorithm import Algorithm
from metaspec.api import batch_meta_gradient, compile
from metaspec.arrays import asarray, computing, plain_leaves
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidTypeError, NonFiniteError
from metaspec.inner import checked_steps
from metaspec.protocol import Backend
from metaspec.registry import resolve
from metaspec.task import Task, Tree
from metaspec.training.optimizers import Adam, Optimizer


class StepRecord(NamedTuple):
    """One outer step: its number (from 0), the mean query loss after adaptation, and the seconds that it took."""

    step: int
    query_loss: float
    seconds: float


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
    steps = checked_steps(steps, "meta_train: steps", least=0)
    tasks_per_step = checked_steps(tasks_per_step, "meta_train: tasks_per_step", least=1)
    if not isinstance(task_source, TaskSource):
        raise InvalidTypeError(
            f"meta_train: task_source needs task(index) and batch(step, size), got {type(task_source).__name__}"
        )
    B = resolve(backend, plain_leaves(params))
    outer = Adam() if optimizer is None else optimizer
    with computing(B, params if resume is None else resume.params):
        return _train(B, algo, loss, params, task_source, steps, tasks_per_step, outer, resume, callback)


def _train(
    B: Backend,
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    source: TaskSource,
    steps: int,
    size: int,
    optimizer: Optimizer,
    resume: Run | None,
    callback: Callable[[StepRecord], Any] | None,
) -> Run:
    def one_step(params: Tree, state: Tree, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
        r = batch_meta_gradient(algo, loss, params, tasks, backend=B)
        return *optimizer.update(B, params, state, r.delta), r.query_loss, B.xp.all(r.diagnostics.finite)

    compiled = compile(one_step, backend=B)
    params = asarray(params if resume is None else resume.params, backend=B)
    state = optimizer.init(B, params) if resume is None else resume.optimizer_state
    first = 0 if resume is None else resume.steps
    history = [] if resume is None else list(resume.history)
    for step in range(first, first + steps):
        start = time.perf_counter()
        tasks = asarray(source.batch(step, size), backend=B)
        new_params, state, query_loss, finite = compiled(params, state, tasks)
        if not bool(B.to_numpy(finite)):
            _explain(B, algo, loss, params, tasks, step)
        params = new_params
        history.append(StepRecord(step, float(B.to_numpy(query_loss)), time.perf_counter() - start))
        if callback is not None:
            callback(history[-1])
    return Run(params, state, first + steps, tuple(history))


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
