"""Meta-testing: adaptation to held-out tasks, judged on their query sets, with intervals over tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy

from metaspec.algorithm import Algorithm
from metaspec.api import adapt, compile
from metaspec.arrays import asarray, computing, plain_leaves
from metaspec.checks import checked_integer
from metaspec.choice import resolve
from metaspec.data.source import TaskSource
from metaspec.protocol import Backend
from metaspec.task import Task, Tree

NORMAL_95 = 1.959963984540054


class Estimate(NamedTuple):
    """A mean over tasks and the half-width of its 95 % confidence interval (normal approximation)."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.half_width:.2g}"

    def percent(self) -> "Estimate":
        """The same in per cent."""
        return Estimate(100 * self.mean, 100 * self.half_width)


@dataclass(frozen=True)
class Report:
    """What `meta_test` returns, on the query sets of `tasks` tasks, before and after adaptation to the support sets.

    Attributes:
        tasks: Number of tasks.
        loss_before: At the meta-parameters.
        loss_after: At the adapted parameters.
        metric_before: The metric at the meta-parameters; None without one.
        metric_after: The metric at the adapted parameters; None without one.
    """

    tasks: int
    loss_before: Estimate
    loss_after: Estimate
    metric_before: Estimate | None = None
    metric_after: Estimate | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every estimate as {"mean": ..., "half_width": ...}."""
        return {name: value._asdict() if isinstance(value, Estimate) else value for name, value in vars(self).items()}


def meta_test(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    *,
    tasks: int = 100,
    tasks_per_batch: int = 25,
    metric: Callable[[Tree, Tree], Any] | None = None,
    backend: str | Backend | None = None,
) -> Report:
    """Adapt to each of `tasks` tasks of a source (its first ones) and judge on their query sets.

    Args:
        algo: The algorithm; its `adapt` is used (GradientDescent may well take more steps here than in training).
        loss: As in `meta_gradient`.
        params: The meta-parameters; NumPy arrays are converted to the chosen backend.
        task_source: Gives `batch(step, size)` of held-out tasks.
        tasks: Number of tasks; rounded up to whole batches.
        tasks_per_batch: Tasks per compiled call.
        metric: (params, batch) -> scalar, e.g. the accuracy; judged like the loss.
        backend: As in `meta_train`.

    Returns:
        Report.

    Raises:
        MetaspecError: As `adapt`.
    """
    size = checked_integer(tasks_per_batch, "meta_test: tasks_per_batch", least=1)
    batches = ceil(checked_integer(tasks, "meta_test: tasks", least=1) / size)
    B = resolve(backend, plain_leaves(params))
    measures = [loss] if metric is None else [loss, metric]

    def judge(params: Tree, batch: Task) -> Tree:
        def per_task(task: Task) -> Tree:
            adapted = adapt(algo, loss, params, task.support, backend=B)
            return [[measure(p, task.query) for p in (params, adapted)] for measure in measures]

        return B.vmap(per_task)(batch)

    judged = compile(judge, backend=B)
    with computing(B, params):
        params = asarray(params, backend=B)
        rows = [judged(params, asarray(task_source.batch(i, size), backend=B)) for i in range(batches)]
        columns = [
            _estimate([B.to_numpy(row[m][when]) for row in rows]) for m in range(len(measures)) for when in (0, 1)
        ]
    return Report(batches * size, *columns)


def _estimate(values: list[Any]) -> Estimate:
    sample = numpy.concatenate(values).astype("float64")
    spread = float(sample.std(ddof=1)) if len(sample) > 1 else float("nan")
    return Estimate(float(sample.mean()), NORMAL_95 * spread / len(sample) ** 0.5)
