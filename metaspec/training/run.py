"""The result of a training: a value that can be saved, restored and resumed from."""

from dataclasses import dataclass, field, replace
from math import isnan
from typing import NamedTuple

from metaspec.inner.continued import RuleState
from metaspec.task import Tree
from metaspec.training.evaluation import EvaluationReport


class StepRecord(NamedTuple):
    """Record of one outer step.

    Attributes:
        step: The step's number, from 0.
        query_loss: The mean query loss after adaptation.
        seconds: How long the step took.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, tasks_per_step=4, backend="numpy")
        >>> run.history[2].step, run.history[2].query_loss > 0
        (2, True)
    """

    step: int
    query_loss: float
    seconds: float


class Judged(NamedTuple):
    """Evaluation of the meta-parameters in the course of a training.

    Attributes:
        steps: Outer steps taken before it.
        goal: The figure that is to become small.
        report: What was measured.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> evaluation = training.Evaluation(data.Sinusoid(stream="validation"), every=2, tasks=25)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=4, evaluation=evaluation, backend="numpy")
        >>> [(judged.steps, judged.goal == judged.report.loss_after.mean) for judged in run.evaluations]
        [(2, True), (4, True)]
    """

    steps: int
    goal: float
    report: EvaluationReport


class Best(NamedTuple):
    """The evaluation with the smallest `goal` so far, the first of equals.

    Attributes:
        judged: The evaluation.
        params: The meta-parameters that it evaluated.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> evaluation = training.Evaluation(data.Sinusoid(stream="validation"), every=2, tasks=25)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=4, evaluation=evaluation, backend="numpy")
        >>> run.best.judged.goal == min(judged.goal for judged in run.evaluations)
        True
    """

    judged: Judged
    params: Tree


@dataclass(frozen=True)
class Run:
    """State of a training after some outer steps: what `meta_train` returns, and what a checkpoint holds.

    Attributes:
        params: The trained meta-parameters.
        optimizer_state: The outer optimiser's state, to go on with.
        history: One StepRecord per step.
        evaluations: What was found on the way, if anything was evaluated.
        best: The best of them with its parameters; None without evaluations.
        inner_state: The inner rule's state, where `meta_train(carry_state=True)` carried it.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, tasks_per_step=4, backend="numpy")
        >>> run.steps, sorted(run.params)
        (3, ['b0', 'b1', 'b2', 'w0', 'w1', 'w2'])
        >>> more = {"steps": 5, "tasks_per_step": 4, "resume": run, "backend": "numpy"}
        >>> longer = ms.meta_train(algo, net.loss, params, source, **more)
        >>> longer.history[:3] == run.history
        True
    """

    params: Tree
    optimizer_state: Tree
    history: tuple[StepRecord, ...] = field(default=(), repr=False)
    evaluations: tuple[Judged, ...] = field(default=(), repr=False)
    best: Best | None = field(default=None, repr=False)
    inner_state: RuleState | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """Return the number of outer steps taken so far, which is the next step's number."""
        return len(self.history)

    @property
    def best_params(self) -> Tree:
        """Return the parameters of the best evaluation; without evaluations those after the last step."""
        return self.params if self.best is None else self.best.params

    def evaluated(self, report: EvaluationReport, goal: float) -> "Run":
        """Return the run with one evaluation more, of its parameters as they are now."""
        judged = Judged(self.steps, goal, report)
        best = self.best
        if best is None or isnan(best.judged.goal) or goal < best.judged.goal:
            best = Best(judged, self.params)
        return replace(self, evaluations=(*self.evaluations, judged), best=best)
