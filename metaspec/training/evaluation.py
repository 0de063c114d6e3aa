"""Meta-testing: adaptation to held-out tasks, judged on their query sets, with intervals over tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import ceil, isfinite
from typing import Any, NamedTuple

import numpy

from metaspec.algorithms.base import Algorithm
from metaspec.algorithms.meta_batch import each_task
from metaspec.api import adapt, compile
from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer, settle
from metaspec.checks.caller_warnings import warn_caller
from metaspec.data.source import TaskSource, check_source
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.continued import RuleState
from metaspec.inner.learned import parameters_of
from metaspec.ranks import Distributed, RankGroup, ranks_for
from metaspec.task import Task, Tree

NORMAL_95 = 1.959963984540054


class Estimate(NamedTuple):
    """Mean over tasks, with its 95 % confidence interval (normal approximation).

    Attributes:
        mean: The mean.
        half_width: Half the interval's width, 1.96 standard deviations of the mean.

    Example:
        >>> from metaspec import training
        >>> print(training.Estimate(0.98412, 0.0021), training.Estimate(0.98412, 0.0021).percent())
        0.9841 ± 0.0021 98.41 ± 0.21
    """

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.half_width:.2g}"

    def percent(self) -> "Estimate":
        """Return the estimate in per cent."""
        return Estimate(100 * self.mean, 100 * self.half_width)


@dataclass(frozen=True)
class EvaluationReport:
    """Result of `meta_test`: means over the query sets of `tasks` tasks, before and after adaptation.

    Attributes:
        tasks: Number of tasks.
        loss_before: At the meta-parameters.
        loss_after: At the adapted parameters.
        metric_before: The metric at the meta-parameters; None without one.
        metric_after: The metric at the adapted parameters; None without one.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> report = ms.meta_test(algo, net.loss, params, data.Sinusoid(stream="test"), tasks=25, backend="numpy")
        >>> report.tasks, report.loss_after.mean > 0, report.metric_after
        (25, True, None)
    """

    tasks: int
    loss_before: Estimate
    loss_after: Estimate
    metric_before: Estimate | None = None
    metric_after: Estimate | None = None

    @property
    def finite(self) -> bool:
        """Whether every mean is a finite number."""
        return all(isfinite(value.mean) for value in vars(self).values() if isinstance(value, Estimate))

    @property
    def diagnosis(self) -> str:
        """A sentence on what a mean that is not finite says, and what to do; empty where all means are finite."""
        if self.finite:
            return ""
        if isfinite(self.loss_before.mean) and not isfinite(self.loss_after.mean):
            return (
                f"the query loss is {self.loss_before.mean:.3g} before adaptation and {self.loss_after.mean} after "
                "it: the inner loop diverges on some task; lower the inner learning rate, or take fewer inner steps"
            )
        return (
            f"the query loss is {self.loss_before.mean} at the meta-parameters themselves, before adaptation: look "
            "at them, at the query sets, and at logarithms, roots and divisions of zero in the loss and the metric"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON: every estimate as {"mean": ..., "half_width": ...}."""
        return {name: value._asdict() if isinstance(value, Estimate) else value for name, value in vars(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "EvaluationReport":
        """The inverse of `as_dict`.

        Raises:
            ValueError: The values are not those of a report; says which is wrong.
        """
        if not isinstance(values, Mapping) or values.keys() - {f.name for f in fields(EvaluationReport)}:
            raise ValueError(f"expected the figures of a report, got {values!r:.100}")
        tasks = values.get("tasks")
        if isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1:
            raise ValueError(f"tasks: expected an integer >= 1, got {tasks!r:.50}")
        losses = (_estimate_from(values, name) for name in ("loss_before", "loss_after"))
        metrics = (_estimate_from(values, name, optional=True) for name in ("metric_before", "metric_after"))
        return EvaluationReport(tasks, *losses, *metrics)


def read_number(value: Any, name: str) -> float:
    """A number that was read from a file, NaN and infinities among them, as a float.

    Raises:
        ValueError: It is none, or an integer too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: expected a number, got {value!r:.50}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number of float64's range") from None


def loss_after(report: EvaluationReport) -> float:
    """Return the mean query loss after adaptation, the goal of an evaluation unless another is given.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> report = ms.meta_test(algo, net.loss, params, data.Sinusoid(stream="test"), tasks=25, backend="numpy")
        >>> training.loss_after(report) == report.loss_after.mean
        True
    """
    return report.loss_after.mean


def error_after(report: EvaluationReport) -> float:
    """Return 1 - the mean of the metric after adaptation: the goal where the metric is an accuracy.

    Raises:
        InvalidArgumentError: The evaluation had no metric.

    Example:
        >>> from metaspec.training import Estimate, EvaluationReport, error_after
        >>> one = Estimate(1.0, 0.1)
        >>> report = EvaluationReport(100, one, one, Estimate(0.2, 0.01), Estimate(0.75, 0.02))
        >>> error_after(report)
        0.25
    """
    if report.metric_after is None:
        raise InvalidArgumentError("Evaluation: goal=error_after needs a metric, such as the network's accuracy")
    return 1.0 - report.metric_after.mean


@dataclass(frozen=True)
class Evaluation:
    """Plan of the evaluations of a training: what they measure, when, and what follows.

    Attributes:
        source: Held-out tasks; always its first ones, so that figures can be compared.
        every: Outer steps between two evaluations, >= 1.
        tasks: As in `meta_test`.
        tasks_per_batch: As in `meta_test`.
        metric: As in `meta_test`.
        goal: EvaluationReport -> the figure that is to become small; the evaluation with the smallest is the best.
        patience: Stop after so many evaluations in a row that were no better than the best; None never stops.
        algo: Adapts in the evaluations, with more inner steps perhaps; None is the training's own.

    Raises:
        InvalidArgumentError, InvalidTypeError: An argument that is not what its line says.

    Example:
        >>> from metaspec import data, nn, training
        >>> held_out = data.Sinusoid(stream="validation")
        >>> training.Evaluation(held_out, every=100, tasks=50, patience=5).patience
        5
    """

    source: TaskSource
    every: int = 500
    tasks: int = 100
    tasks_per_batch: int = 25
    metric: Callable[[Tree, Tree], Any] | None = None
    goal: Callable[[EvaluationReport], float] = loss_after
    patience: int | None = None
    algo: Algorithm | None = None

    def __post_init__(self) -> None:
        settle(self, every=1, tasks=1, tasks_per_batch=1, **({} if self.patience is None else {"patience": 1}))
        check_source(self.source, "Evaluation: source")
        _check_metric(self.metric, "Evaluation: metric")
        if not callable(self.goal):
            raise InvalidTypeError(
                f"Evaluation: goal must be a function of a EvaluationReport, such as error_after, got {self.goal!r}"
            )


def meta_test(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    *,
    tasks: int = 100,
    tasks_per_batch: int = 25,
    metric: Callable[[Tree, Tree], Any] | None = None,
    state: RuleState | None = None,
    distributed: Distributed = "auto",
    backend: str | Backend | None = None,
) -> EvaluationReport:
    """Adapt to each of `tasks` tasks of a source (its first ones) and evaluate on their query sets.

    Args:
        algo: The algorithm; its `adapt` is used (GradientDescent may well take more steps here than in training).
        loss: As in `meta_gradient`.
        params: The meta-parameters; NumPy arrays are converted to the chosen backend.
        task_source: Gives `batch(step, size)` of held-out tasks.
        tasks: Number of tasks; rounded up to whole batches.
        tasks_per_batch: Tasks per compiled call.
        metric: (params, batch) -> scalar, e.g. the accuracy; averaged like the loss.
        state: The inner rule's, from which every task starts: the `inner_state` of a run that carried it. None: afresh.
        distributed: As in `meta_train`: the processes share the batches, and all get the same report.
        backend: As in `meta_train`.

    Returns:
        EvaluationReport: means over tasks with confidence intervals, before and after adaptation.

    Raises:
        MetaspecError: As `adapt`.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> report = ms.meta_test(algo, net.loss, params, data.Sinusoid(stream="test"), tasks=25, backend="numpy")
        >>> report.tasks, report.loss_before.half_width > 0
        (25, True)
    """
    B = resolve(backend, params)
    check_source(task_source, "meta_test: task_source")
    _check_metric(metric, "meta_test: metric")
    size = checked_integer(tasks_per_batch, "meta_test: tasks_per_batch", least=1)
    count = checked_integer(tasks, "meta_test: tasks", least=1)
    with ranks_for(B, distributed, "meta_test") as ranks:
        return evaluator(B, algo, loss, metric, ranks)(params, task_source, count, size, state)


def evaluator(
    B: Backend,
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    metric: Callable[[Tree, Tree], Any] | None,
    ranks: RankGroup | None = None,
) -> Callable[..., EvaluationReport]:
    """Return `meta_test`, compiled once for many calls, of (params, source, tasks, tasks per batch, state)."""
    ranks = ranks or RankGroup(B)
    measures = [B.tuning.task_loss(measure, measure) for measure in (loss, metric) if measure is not None]

    def judge(params: Tree, state: RuleState | None, batch: Task) -> Tree:
        def per_task(task: Task) -> Tree:
            adapted = adapt(algo, loss, params, task.support, state=state, backend=B)
            adapted = adapted if state is None else adapted[0]
            return [[measure(p, task.query) for p in (parameters_of(params), adapted)] for measure in measures]

        return each_task(B, per_task, parameters_of(params), batch)

    judged = compile(judge, backend=B)

    def test(
        params: Tree, source: TaskSource, tasks: int, size: int, state: RuleState | None = None
    ) -> EvaluationReport:
        batches = ceil(tasks / size)
        with computing(B, params):
            params = asarray(params, backend=B)
            values = numpy.zeros((2 * len(measures), batches, size))
            for i in range(ranks.index, batches, ranks.count):
                rows = judged(params, state, B.tuning.spread(params, asarray(source.batch(i, size), backend=B)))
                values[:, i] = [B.to_numpy(row) for before_and_after in rows for row in before_and_after]
            report = EvaluationReport(batches * size, *map(_estimate, ranks.union(values)))
        if not report.finite and ranks.first:
            warn_caller(f"meta_test: {report.diagnosis}")
        return report

    return test


def _estimate_from(values: Mapping[str, Any], name: str, *, optional: bool = False) -> Any:
    found = values.get(name)
    if found is None and optional:
        return None
    if not isinstance(found, Mapping) or found.keys() != {"mean", "half_width"}:
        raise ValueError(f'{name}: expected {{"mean": ..., "half_width": ...}}, got {found!r:.50}')
    return Estimate(*(read_number(found[key], f"{name}.{key}") for key in ("mean", "half_width")))


def _check_metric(metric: Any, argument: str) -> None:
    if metric is not None and not callable(metric):
        raise InvalidTypeError(f"{argument} must be a function (params, batch) -> scalar or None, got {metric!r}")


def _estimate(values: Any) -> Estimate:
    sample = values.reshape(-1)
    spread = float(sample.std(ddof=1)) if len(sample) > 1 else float("nan")
    return Estimate(float(sample.mean()), NORMAL_95 * spread / len(sample) ** 0.5)
