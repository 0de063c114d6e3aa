"""Outer optimisers and training loops broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy

from metaspec.backend.arrays import asarray
from metaspec.task import Task
from metaspec.training import SGD, Adam, AdamW, Run, checkpoint, outer_optimizers, steps
from metaspec.training import evaluation as evaluate
from metaspec.trees import scale, tree_map
from tests.conformance.seeded_faults.fault import Patch, fault, method, rebind

training = "training"


def looped(patch: Patch, change: Callable[..., Any]) -> None:
    """`change(original, plan, params, state, inner_state, first)` for the outer steps."""
    method(patch, steps.TrainingPlan, "steps", change)


def restored(patch: Patch, change: Callable[..., Run]) -> None:
    """`change(run, B, params, optimizer)` for what a checkpoint is read as."""
    original = checkpoint.restore

    def restore(stored: Any, B: Any, params: Any, optimizer: Any = None, inner: Any = None) -> Run:
        return change(original(stored, B, params, optimizer, inner), B, params, optimizer)

    patch(checkpoint, "restore", restore)


class Other:
    """A source whose batches are another's, changed."""

    def __init__(self, source: Any, change: Callable[..., Any]) -> None:
        self.source, self.change = source, change

    def task(self, index: int) -> Task:
        return self.source.task(index)

    def batch(self, step: int, size: int) -> Task:
        return self.change(self.source, step, size)


def judged(patch: Patch, change: Callable[..., Any], after: Callable[[Any], Any] = lambda report: report) -> None:
    """`change(source, step, size)` for the batches that `meta_test` sees, `after(report)` for what it returns."""
    original = evaluate.meta_test

    def meta_test(algo: Any, loss: Any, params: Any, source: Any, **options: Any) -> Any:
        return after(original(algo, loss, params, Other(source, change), **options))

    rebind(patch, original, meta_test)


@fault(training, 22)
def best_is_the_last(patch: Patch) -> None:
    """The best parameters are those that train on."""
    patch(Run, "best_params", property(lambda self: self.params))


@fault(training, 22)
def parameters_in_one_buffer(patch: Patch) -> None:
    """Every step is handed out in the same arrays, which the next step overwrites."""

    def buffered(original: Any, plan: Any, *arguments: Any) -> Any:
        buffers: Any = None
        stream = original(plan, *arguments)
        try:
            for progress in stream:
                B = plan.B
                if buffers is None:
                    buffers = tree_map(B, lambda leaf: leaf.copy(), progress.params)
                for buffer, leaf in zip(B.tree_flatten(buffers)[0], B.tree_flatten(progress.params)[0], strict=True):
                    buffer[...] = leaf
                yield progress._replace(params=buffers)
        finally:
            stream.close()

    looped(patch, buffered)


@fault(training)
def worst_taken_for_best(patch: Patch) -> None:
    """The best evaluation is the one with the largest figure."""

    method(patch, Run, "evaluated", lambda original, self, report, goal: original(self, report, -goal))


@fault(training, 24)
def restored_training_moves_the_old_parameters(patch: Patch) -> None:
    """After a restore training goes on from the first parameters."""
    restored(patch, lambda run, B, params, optimizer: replace(run, params=asarray(params, backend=B)))


@fault(training, 24)
def optimizer_state_not_restored(patch: Patch) -> None:
    """After a restore the optimiser starts afresh."""

    def afresh(run: Run, B: Any, params: Any, optimizer: Any) -> Run:
        return run if optimizer is None else replace(run, optimizer_state=optimizer.init(B, run.params))

    restored(patch, afresh)


@fault(training)
def best_not_restored(patch: Patch) -> None:
    """After a restore the best so far is forgotten."""
    restored(patch, lambda run, *_: replace(run, best=None))


@fault(training)
def history_not_restored(patch: Patch) -> None:
    """After a restore the history starts with the last step."""
    restored(patch, lambda run, *_: replace(run, history=run.history[-1:]))


@fault(training)
def batches_start_again(patch: Patch) -> None:
    """After a restore the batches start with number 0 again."""

    def again(original: Any, plan: Any, *arguments: Any) -> Any:
        first = arguments[-1]
        tasks = Other(plan.task_source, lambda source, step, size: source.batch(step - first, size))
        return original(replace(plan, task_source=tasks), *arguments)

    looped(patch, again)


@fault(training, 21)
def saved_in_float32(patch: Patch) -> None:
    """A checkpoint has float32's digits."""

    def narrow(array: Any) -> Any:
        return array.astype("float32").astype(array.dtype) if array.dtype == numpy.float64 else array

    original = checkpoint.named_leaves
    patch(checkpoint, "named_leaves", lambda B, tree: {k: narrow(v) for k, v in original(B, tree).items()})


def _batches(patch: Patch, number: Callable[[int], int]) -> None:
    def renumbered(original: Any, plan: Any, *arguments: Any) -> Any:
        tasks = Other(plan.task_source, lambda source, step, size: source.batch(number(step), size))
        return original(replace(plan, task_source=tasks), *arguments)

    looped(patch, renumbered)


@fault(training)
def batches_taken_twice(patch: Patch) -> None:
    """Every batch is taken for two steps."""
    _batches(patch, lambda step: step // 2)


@fault(training)
def batches_skipped(patch: Patch) -> None:
    """Every other batch is made and thrown away."""
    _batches(patch, lambda step: 2 * step)


@fault(training)
def steps_go_uphill(patch: Patch) -> None:
    """phi + beta D."""
    for kind in (SGD, Adam):
        method(
            patch,
            kind,
            "update",
            lambda original, self, B, params, state, delta, rate: original(self, B, params, state, delta, -rate),
        )


@fault(training, 6)
def meta_update_divided_by_tasks_again(patch: Patch) -> None:
    """The mean over two tasks is divided by two again before the step."""

    for kind in (SGD, Adam):
        method(
            patch,
            kind,
            "update",
            (
                lambda original, self, B, params, state, delta, rate: original(
                    self, B, params, state, scale(B, 0.5, delta), rate
                )
            ),
        )


@fault(training)
def adam_without_bias_correction(patch: Patch) -> None:
    """Adam's moments are used as they are."""
    patch(outer_optimizers, "_unbiased", lambda B, moment, decay, t: moment)


@fault(training)
def adam_counts_from_zero(patch: Patch) -> None:
    """Adam's correction is one step late."""
    original = outer_optimizers._unbiased
    patch(
        outer_optimizers,
        "_unbiased",
        lambda B, moment, decay, t: original(B, moment, decay, B.xp.where(t > 1, t - 1, t)),
    )


@fault(training, 14)
def adam_divides_zero_by_zero(patch: Patch) -> None:
    """Adam without epsilon: a coordinate whose gradient is zero becomes NaN."""

    def update(original: Any, self: Any, *arguments: Any) -> Any:
        bare = replace(self)
        object.__setattr__(bare, "eps", 0.0)
        return original(bare, *arguments)

    method(patch, Adam, "update", update)


@fault(training)
def nesterov_ignored(patch: Patch) -> None:
    """Nesterov's momentum is the plain one."""

    method(patch, SGD, "update", lambda original, self, *arguments: original(replace(self, nesterov=False), *arguments))


@fault(training)
def momentum_averages(patch: Patch) -> None:
    """m <- mu m + (1 - mu) D for mu m + D."""

    method(
        patch,
        SGD,
        "update",
        (
            lambda original, self, B, params, state, delta, rate: original(
                self, B, params, state, scale(B, 1 - self.momentum, delta), rate
            )
        ),
    )


@fault(training)
def weight_decay_in_the_gradient(patch: Patch) -> None:
    """AdamW adds the decay to the gradient: it is then scaled as the gradient is."""

    def update(self: Any, B: Any, params: Any, state: Any, delta: Any, rate: Any) -> Any:
        coupled = tree_map(B, lambda d, p: d + self.weight_decay * p, delta, params)
        return Adam(self.lr, self.b1, self.b2, self.eps).update(B, params, state, coupled, rate)

    patch(AdamW, "update", update)


@fault(training, 15)
def optimizer_keeps_its_state(patch: Patch) -> None:
    """An optimiser keeps its momentum itself: two trainings with one optimiser share it."""
    kept: dict[Any, Any] = {}

    def update(original: Any, self: Any, B: Any, params: Any, state: Any, delta: Any, rate: Any) -> Any:
        if not all(B.is_concrete(leaf) for leaf in B.tree_flatten((params, delta))[0]):
            return original(self, B, params, state, delta, rate)
        moved, after = original(self, B, params, kept.get(self, state), delta, rate)
        kept[self] = after
        return moved, after

    for kind in (SGD, Adam):
        method(patch, kind, "update", update)


@fault(training, 5)
def judged_on_the_support(patch: Patch) -> None:
    """`meta_test` judges on the set that it adapted on."""

    def supported(source: Any, step: int, size: int) -> Any:
        batch = source.batch(step, size)
        return batch._replace(query=batch.support)

    judged(patch, supported)


@fault(training)
def judged_on_the_first_batch_alone(patch: Patch) -> None:
    """`meta_test` sees the first batch of tasks again and again."""
    judged(patch, lambda source, step, size: source.batch(0, size))


@fault(training)
def interval_of_a_single_task(patch: Patch) -> None:
    """The interval is that of one task, not of the mean over tasks."""

    def wider(report: Any) -> Any:
        c = report.tasks**0.5
        return replace(report, loss_after=report.loss_after._replace(half_width=c * report.loss_after.half_width))

    judged(patch, lambda source, step, size: source.batch(step, size), wider)


@fault(training)
def meta_test_adapts_twice(patch: Patch) -> None:
    """`meta_test` judges parameters that were adapted twice."""
    original = evaluate.adapt

    def adapt(algo: Any, loss: Any, params: Any, support: Any, **options: Any) -> Any:
        return original(algo, loss, original(algo, loss, params, support, **options), support, **options)

    patch(evaluate, "adapt", adapt)
