"""The outer step, compiled once and repeated."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import isfinite
from typing import Any, NamedTuple, NoReturn

import numpy as np

from metaspec.algorithms.base import Algorithm, check_algorithm
from metaspec.api import batch_meta_gradient, initial_state
from metaspec.backend.arrays import WIDE, asarray, computing, uploaded
from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.selection import backend_context, resolve
from metaspec.checks.arguments import POSITIVE, checked_integer, checked_number
from metaspec.data.source import TaskSource, check_source
from metaspec.errors import NonFiniteError
from metaspec.inner.continued import RuleState
from metaspec.ranks import RankGroup, StoppedError, sum_over_ranks
from metaspec.task import Task, Tree
from metaspec.training.describe import described
from metaspec.training.framework_optimizers import optimizer_for
from metaspec.training.loss_watch import LossWatch, NoWatch
from metaspec.training.outer_optimizers import Adam, clip_by_global_norm
from metaspec.training.prefetch import upcoming
from metaspec.training.run import StepRecord
from metaspec.training.shares import share
from metaspec.trees import all_finite, divide, scale

UPDATE_ALONE = "the meta-update is finite, the outer optimiser's step is not; try a smaller rate, or clip_norm"
COMPILED_ALONE = "NaN or infinity arose in the compiled step alone; the same step taken without compilation is finite"


class Progress(NamedTuple):
    """State of a training after a step.

    Attributes:
        record: The step's StepRecord.
        params: The meta-parameters after it.
        optimizer_state: The outer optimiser's state after it.
        inner_state: The inner rule's state after it, where it is carried from step to step.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> stream = training.training_steps(algo, net.loss, params, source, training.Adam(), backend="numpy")
        >>> progress = next(stream)
        >>> progress.record.step, sorted(progress.params) == sorted(params)
        (0, True)
        >>> stream.close()
    """

    record: StepRecord
    params: Tree
    optimizer_state: Tree
    inner_state: RuleState | None = None


def training_steps(
    algo: Algorithm | Callable[[int], Algorithm],
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    optimizer: Any,
    optimizer_state: Tree | None = None,
    first_step: int = 0,
    tasks_per_step: int = 25,
    *,
    clip_norm: float | None = None,
    inner_state: RuleState | None = None,
    prefetch: int = 1,
    check: bool = True,
    backend: str | Backend | None = None,
) -> Generator[Progress, None, None]:
    """Return an iterator over the outer steps of `meta_train`, without end, for a training loop of one's own.

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
        inner_state: The inner rule's, which is then carried from step to step (`initial_state` or the last Progress's).
        prefetch: As in `meta_train`.
        check: As in `meta_train`.
        backend: As in `meta_train`.

    Yields:
        Progress after each step; nothing of an unfinished step is seen. Closing the iterator ends the thread that makes
        batches.

    Raises:
        NonFiniteError: As `meta_train`. What was yielded last is still good.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> stream = training.training_steps(algo, net.loss, params, source, training.Adam(1e-3), backend="numpy")
        >>> for progress in stream:
        ...     if progress.record.step == 2:
        ...         break
        >>> stream.close()
    """
    B = resolve(backend, params)
    carry, ranks = inner_state is not None, RankGroup(B)
    plan = TrainingPlan(B, algo, loss, task_source, optimizer, tasks_per_step, clip_norm, carry, prefetch, check, ranks)
    return plan.steps(params, optimizer_state, inner_state, first_step)


@dataclass(frozen=True)
class TrainingPlan:
    """What every outer step of a training has in common: phi <- optimizer(phi, mean_t delta_t) on a source's tasks.

    Attributes:
        B: The backend.
        algo: The algorithm, or a function step -> algorithm.
        loss: As in `meta_gradient`.
        task_source: Gives the tasks of each step.
        optimizer: The outer optimiser; None is `Adam()`, a framework's own is wrapped.
        tasks_per_step: The meta-batch size.
        clip_norm: The norm to which a longer meta-update is shortened, or None.
        carry_state: The inner rule goes on from the state that the step before left.
        prefetch: How many batches a thread makes ahead.
        check: Look at the loss before the first step.
        ranks: The processes that share the tasks of each step.

    Raises:
        MetaspecError: One of them is not what `meta_train` asks of it.
    """

    B: Backend
    algo: Algorithm | Callable[[int], Algorithm]
    loss: Callable[[Tree, Tree], Any]
    task_source: TaskSource
    optimizer: Any
    tasks_per_step: int
    clip_norm: float | None
    carry_state: bool
    prefetch: int
    check: bool
    ranks: RankGroup

    def __post_init__(self) -> None:
        check_source(self.task_source, "meta_train: task_source")
        settled = {
            "optimizer": optimizer_for(self.B, Adam() if self.optimizer is None else self.optimizer),
            "tasks_per_step": checked_integer(
                self.tasks_per_step, "meta_train: tasks_per_step", least=self.ranks.count
            ),
            "prefetch": checked_integer(self.prefetch, "meta_train: prefetch", least=0),
        }
        if self.clip_norm is not None:
            settled["clip_norm"] = checked_number(self.clip_norm, "meta_train: clip_norm", *POSITIVE)
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def described(self) -> Any:
        """Return, as JSON, what a training must have in common with the one that it goes on from."""
        return described(
            {
                "algorithm": self.algo,
                "loss": self.loss,
                "optimizer": self.optimizer,
                "tasks": self.task_source,
                "tasks_per_step": self.tasks_per_step,
                "clip_norm": self.clip_norm,
            }
            | ({"carry_state": True} if self.carry_state else {})
        )

    def algorithm_at(self, step: int) -> Algorithm:
        """Return the algorithm of an outer step."""
        given: Any = self.algo
        algo: Algorithm = given if hasattr(given, "adapt_to") or not callable(given) else given(step)
        check_algorithm(algo)
        return algo

    def first_inner_state(self, params: Tree) -> RuleState | None:
        """Return the inner rule's state before the first step, where it is carried; else None."""
        if not self.carry_state:
            return None
        with computing(self.B, params):
            return initial_state(self.algorithm_at(0), asarray(params, backend=self.B), backend=self.B)

    def steps(
        self, params: Tree, state: Tree | None, inner: RuleState | None, first: int
    ) -> Generator[Progress, None, None]:
        """Yield the Progress after each outer step, from number `first` on and without end."""
        B, outer = self.B, self.optimizer
        algo = self.algorithm_at(first)
        take = self._compiled(algo)
        with computing(B, params):
            params = asarray(params, backend=B)
            state = outer.init(B, params) if state is None else asarray(state, backend=B)
        names = {B.dtype_name(leaf) for leaf in B.tree_flatten(params)[0]}
        wide = next((name for name in WIDE if name in names), None)  # found once: `computing` looks at every leaf
        format = np.float64 if wide else np.float32
        watch = LossWatch(B, algo, self.loss) if self.check and self.ranks.first else NoWatch()
        source, size = share(self.task_source, first, self.tasks_per_step, self.ranks)
        with upcoming(source, first, size, self.prefetch) as batches:
            for step in count(first):
                start = time.perf_counter()
                following = self.algorithm_at(step)
                if not _equal(following, algo):
                    algo, take = following, self._compiled(following)
                batch = next(batches)
                with backend_context(B), B.guard.compute_context(wide):
                    tasks, rate = uploaded(B, (batch, format(outer.rate(step))))
                    tasks = B.tuning.spread(params, tasks)
                    watch.before(params, tasks)
                    try:
                        moved, state_after, inner_after, query_loss, finite = take(params, state, inner, rate, tasks)
                    except StoppedError:
                        return
                    except NonFiniteError as error:
                        raise NonFiniteError(f"outer step {step}: {error}") from None
                    value = float(B.to_numpy(query_loss))
                    if not (bool(B.to_numpy(finite)) and isfinite(value)):
                        self._explain(algo, params, state, inner, tasks, rate, step)
                    watch.after(params, tasks, step, value)
                params, state, inner = moved, state_after, inner_after
                yield Progress(StepRecord(step, value, time.perf_counter() - start), params, state, inner)

    def _compiled(self, algo: Algorithm) -> Callable[..., tuple[Tree, Tree, Tree, Any, Any]]:
        """Return (params, state, inner state, rate, tasks) -> (the three after it, query loss, if all is finite)."""
        if self.ranks.count > 1:
            return self._compiled_over_ranks(algo)
        B, outer, limit = self.B, self.optimizer, self.clip_norm

        def direction(params: Tree, inner: Tree, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
            r = batch_meta_gradient(algo, self.loss, params, tasks, state=inner, backend=B)
            delta = r.delta if limit is None else clip_by_global_norm(B, r.delta, limit)
            return delta, r.state, r.query_loss, B.xp.all(r.diagnostics.finite)

        def one_step(
            params: Tree, state: Tree, inner: Tree, rate: Any, tasks: Task
        ) -> tuple[Tree, Tree, Tree, Any, Any]:
            delta, inner, query_loss, finite = step_direction(params, inner, tasks)
            params, state = outer.update(B, params, state, delta, rate)
            return params, state, inner, query_loss, B.xp.logical_and(finite, all_finite(B, params))

        step_direction = direction if outer.traceable else B.compile(direction)
        return B.compile(one_step) if outer.traceable else one_step

    def _compiled_over_ranks(self, algo: Algorithm) -> Callable[..., tuple[Tree, Tree, Tree, Any, Any]]:
        """Return the same, of this rank's tasks, with a reduction between what is compiled."""
        B, outer, limit = self.B, self.optimizer, self.clip_norm

        def sums(params: Tree, inner: Tree, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
            r = batch_meta_gradient(algo, self.loss, params, tasks, state=inner, backend=B)
            count = B.tree_flatten(tasks)[0][0].shape[0]
            total = scale(B, count, (r.delta, _averaged(B, r.state)))
            return total, r.state, count * r.query_loss, B.xp.all(r.diagnostics.finite)

        def update(
            params: Tree, state: Tree, rate: Any, total: Tree, inner: Tree, tasks: Any
        ) -> tuple[Tree, Tree, Tree, Any]:
            delta, means = divide(B, total, tasks)
            if limit is not None:
                delta = clip_by_global_norm(B, delta, limit)
            params, state = outer.update(B, params, state, delta, rate)
            return params, state, _with_averaged(B, inner, means), all_finite(B, params)

        own_sums, updated = B.compile(sums), B.compile(update) if outer.traceable else update

        def one_step(
            params: Tree, state: Tree, inner: Tree, rate: Any, tasks: Task
        ) -> tuple[Tree, Tree, Tree, Any, Any]:
            reached: Tree = None

            def own() -> tuple[Tree, Any, int]:
                nonlocal reached
                total, reached, query_loss, finite = own_sums(params, inner, tasks)
                if not (bool(B.to_numpy(finite)) and isfinite(float(B.to_numpy(query_loss)))):
                    batch_meta_gradient(algo, self.loss, params, tasks, state=inner, backend=B)  # says where it arose
                    raise NonFiniteError(COMPILED_ALONE)
                return total, query_loss, B.tree_flatten(tasks)[0][0].shape[0]

            total, query_loss, count = sum_over_ranks(self.ranks, (params, _averaged(B, inner)), own)
            tasks_of_all = B.asarray(count, dtype=B.dtype_name(query_loss))
            moved, state, inner, finite = updated(params, state, rate, total, reached, tasks_of_all)
            if not bool(B.to_numpy(finite)):
                raise NonFiniteError(UPDATE_ALONE)
            return moved, state, inner, query_loss / count, finite

        return one_step

    def stop(self, params: Tree, inner: RuleState | None) -> None:
        """End the training in all ranks, which are in their next step's reduction, or on the way to it."""

        def own() -> NoReturn:
            raise StoppedError("a callback of rank 0 returned True")

        if self.ranks.count > 1:
            with suppress(StoppedError), computing(self.B, params):
                sum_over_ranks(self.ranks, (params, _averaged(self.B, inner)), own)

    def _explain(
        self, algo: Algorithm, params: Tree, state: Tree, inner: Tree, tasks: Task, rate: Any, step: int
    ) -> NoReturn:
        """Take the step again where values can be looked at; the error then says where NaN or infinity arose."""
        B = self.B
        try:
            r = batch_meta_gradient(algo, self.loss, params, tasks, state=inner, backend=B)
        except NonFiniteError as error:
            raise NonFiniteError(f"outer step {step}: {error}") from None
        if not bool(B.to_numpy(all_finite(B, self.optimizer.update(B, params, state, r.delta, rate)[0]))):
            raise NonFiniteError(f"outer step {step}: {UPDATE_ALONE}")
        raise NonFiniteError(f"outer step {step}: {COMPILED_ALONE}")


def _averaged(B: Backend, inner: RuleState | None) -> list[Any]:
    """Return the leaves of which the next step has the mean over tasks; whole numbers are alike in all tasks."""
    return [leaf for leaf in B.tree_flatten(inner)[0] if is_floating(B.dtype_name(leaf))]


def _with_averaged(B: Backend, inner: RuleState | None, means: Sequence[Any]) -> RuleState | None:
    leaves, structure = B.tree_flatten(inner)
    rest = iter(means)
    state: RuleState | None = B.tree_unflatten(
        structure, [next(rest) if is_floating(B.dtype_name(leaf)) else leaf for leaf in leaves]
    )
    return state


def _equal(a: Any, b: Any) -> bool:
    """Whether two algorithms are one; those that hold arrays only where they are the same object."""
    try:
        return a is b or bool(a == b)
    except (TypeError, ValueError, RuntimeError):
        return False
