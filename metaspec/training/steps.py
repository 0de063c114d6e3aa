"""The outer step, compiled once and repeated."""

import time
from collections.abc import Callable, Generator
from itertools import count
from math import isfinite
from typing import Any, NamedTuple, NoReturn

import numpy as np

from metaspec.algorithms.base import Algorithm
from metaspec.api import batch_meta_gradient
from metaspec.backend.arrays import WIDE, asarray, computing, plain_leaves, uploaded
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import backend_context, resolve
from metaspec.checks.arguments import checked_integer, checked_number
from metaspec.data.source import TaskSource, check_source
from metaspec.errors import NonFiniteError
from metaspec.task import Task, Tree
from metaspec.training.framework_optimizers import optimizer_for
from metaspec.training.optimizers import POSITIVE, Optimizer, clip_by_global_norm
from metaspec.training.prefetch import upcoming
from metaspec.training.run import StepRecord
from metaspec.trees import all_finite


class Progress(NamedTuple):
    """Where a training stands after a step: the record of the step and what it left behind."""

    record: StepRecord
    params: Tree
    optimizer_state: Tree


def training_steps(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    optimizer: Any,
    optimizer_state: Tree | None = None,
    first_step: int = 0,
    tasks_per_step: int = 25,
    *,
    clip_norm: float | None = None,
    prefetch: int = 1,
    backend: str | Backend | None = None,
) -> Generator[Progress, None, None]:
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
        clip_norm: As in `meta_train`.
        prefetch: As in `meta_train`.
        backend: As in `meta_train`.

    Yields:
        Progress after each step; nothing of an unfinished step is seen. Closing the iterator ends the thread that makes
        batches.

    Raises:
        NonFiniteError: As `meta_train`. What was yielded last is still good.
    """
    size = checked_integer(tasks_per_step, "meta_train: tasks_per_step", least=1)
    ahead = checked_integer(prefetch, "meta_train: prefetch", least=0)
    limit = None if clip_norm is None else checked_number(clip_norm, "meta_train: clip_norm", *POSITIVE)
    check_source(task_source, "meta_train: task_source")
    B = resolve(backend, plain_leaves(params))
    outer = optimizer_for(B, optimizer)

    def direction(params: Tree, tasks: Task) -> tuple[Tree, Any, Any]:
        r = batch_meta_gradient(algo, loss, params, tasks, backend=B)
        delta = r.delta if limit is None else clip_by_global_norm(B, r.delta, limit)
        return delta, r.query_loss, B.xp.all(r.diagnostics.finite)

    def one_step(params: Tree, state: Tree, rate: Any, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
        delta, query_loss, finite = step_direction(params, tasks)
        params, state = outer.update(B, params, state, delta, rate)
        return params, state, query_loss, B.xp.logical_and(finite, all_finite(B, params))

    step_direction = direction if outer.traceable else B.compile(direction)
    take = B.compile(one_step) if outer.traceable else one_step
    with computing(B, params):
        params = asarray(params, backend=B)
        state = outer.init(B, params) if optimizer_state is None else asarray(optimizer_state, backend=B)
    names = {B.dtype_name(leaf) for leaf in B.tree_flatten(params)[0]}
    wide = next((name for name in WIDE if name in names), None)  # found once: `computing` looks at every leaf
    format = np.float64 if wide else np.float32
    with upcoming(task_source, first_step, size, ahead) as batches:
        for step in count(first_step):
            start = time.perf_counter()
            batch = next(batches)
            with backend_context(B), B.guard.compute_context(wide):
                tasks, rate = uploaded(B, (batch, format(outer.rate(step))))
                moved, state_after, query_loss, finite = take(params, state, rate, tasks)
                value = float(B.to_numpy(query_loss))
                if not (bool(B.to_numpy(finite)) and isfinite(value)):
                    _explain(B, algo, loss, params, state, tasks, rate, outer, step)
            params, state = moved, state_after
            yield Progress(StepRecord(step, value, time.perf_counter() - start), params, state)


def _explain(
    B: Backend,
    algo: Algorithm,
    loss: Any,
    params: Tree,
    state: Tree,
    tasks: Task,
    rate: Any,
    outer: Optimizer,
    step: int,
) -> NoReturn:
    """Take the step again where values can be looked at; the error then says where it arose."""
    try:
        r = batch_meta_gradient(algo, loss, params, tasks, backend=B)
    except NonFiniteError as error:
        raise NonFiniteError(f"outer step {step}: {error}") from None
    if not isfinite(float(B.to_numpy(r.query_loss))):
        raise NonFiniteError(f"outer step {step}: the query loss is not finite, the meta-update is; see the loss")
    if not bool(B.to_numpy(all_finite(B, outer.update(B, params, state, r.delta, rate)[0]))):
        raise NonFiniteError(
            f"outer step {step}: the meta-update is finite, the outer optimiser's step is not; try a smaller rate, or "
            "clip_norm"
        )
    raise NonFiniteError(
        f"outer step {step}: NaN or infinity arose in the compiled step alone; the same step taken without compilation "
        "is finite"
    )
