"""What a training has come to: a value that is saved, restored and gone on from."""

from dataclasses import dataclass, field
from math import isnan
from typing import NamedTuple

from metaspec.task import Tree
from metaspec.training.evaluation import EvaluationReport


class StepRecord(NamedTuple):
    """One outer step: its number (from 0), the mean query loss after adaptation, and the seconds that it took."""

    step: int
    query_loss: float
    seconds: float


class Judged(NamedTuple):
    """What an evaluation found after `steps` outer steps, and the figure that is to become small."""

    steps: int
    goal: float
    report: EvaluationReport


class Best(NamedTuple):
    """The evaluation with the smallest `goal` so far, the first of equals, and the meta-parameters that it judged."""

    judged: Judged
    params: Tree


@dataclass(frozen=True)
class Run:
    """What `meta_train` returns, and what a checkpoint holds.

    Attributes:
        params: The trained meta-parameters.
        optimizer_state: The outer optimiser's state, to go on with.
        history: One StepRecord per step.
        evaluations: What was found on the way, if anything was evaluated.
        best: The best of them with its parameters; None without evaluations.
    """

    params: Tree
    optimizer_state: Tree
    history: tuple[StepRecord, ...] = field(default=(), repr=False)
    evaluations: tuple[Judged, ...] = field(default=(), repr=False)
    best: Best | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """The number of outer steps taken so far; the next step's number."""
        return len(self.history)

    @property
    def best_params(self) -> Tree:
        """The parameters of the best evaluation; without evaluations those after the last step."""
        return self.params if self.best is None else self.best.params

    def evaluated(self, report: EvaluationReport, goal: float) -> "Run":
        """The run with one evaluation more, of its parameters as they are now."""
        judged = Judged(self.steps, goal, report)
        best = self.best
        if best is None or isnan(best.judged.goal) or goal < best.judged.goal:
            best = Best(judged, self.params)
        return Run(self.params, self.optimizer_state, self.history, (*self.evaluations, judged), best)
