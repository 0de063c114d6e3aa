"""A training under way: what `meta_train` knows between two of its lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError
from metaspec.task import Tree
from metaspec.training import checkpoint
from metaspec.training.checkpoints import Checkpoints
from metaspec.training.describe import differences
from metaspec.training.evaluation import Evaluation, Report
from metaspec.training.optimizers import Optimizer
from metaspec.training.run import Best, Judged, Run, StepRecord
from metaspec.training.steps import Progress


@dataclass
class Journey:
    """A training under way. `latest` is replaced in one go: an interrupt between two lines leaves nothing half done."""

    B: Backend
    checkpoints: Checkpoints | None
    setup: Any
    latest: tuple[Tree, Tree, int]  # parameters, optimiser's state, steps taken
    history: list[StepRecord]
    judged: tuple[tuple[Judged, ...], Best | None]
    saved: int  # the steps that the newest checkpoint has

    @staticmethod
    def begin(
        B: Backend, outer: Optimizer, params: Tree, resume: Run | None, checkpoints: Checkpoints | None, setup: Any
    ) -> "Journey":
        stored = None if checkpoints is None else checkpoints.newest()
        if stored is not None:
            if resume is not None:
                raise InvalidArgumentError(
                    f"meta_train: both resume and checkpoints ({stored.path}) say where to go on; choose another "
                    "folder, or leave resume out"
                )
            changed = differences(stored.description["setup"], setup)
            if changed:
                raise InvalidArgumentError(
                    f"meta_train: {stored.path} is of a training with another set-up: {'; '.join(changed[:5])}. Choose "
                    "another folder, or go on with load_checkpoint and resume"
                )
            resume = checkpoint.restore(stored, B, params, outer)
        elif resume is not None:
            _check_state(B, outer, resume)
        if resume is None:
            with computing(B, params):
                params = asarray(params, backend=B)
                resume = Run(params, outer.init(B, params))
        latest = resume.params, resume.optimizer_state, resume.steps
        judged = resume.evaluations, resume.best
        saved = 0 if stored is None else resume.steps
        return Journey(B, checkpoints, setup, latest, list(resume.history), judged, saved)

    @property
    def taken(self) -> int:
        return self.latest[2]

    def run(self) -> Run:
        params, state, taken = self.latest
        return Run(params, state, tuple(self.history[:taken]), *self.judged)

    def step(self, progress: Progress) -> None:
        self.history[self.taken :] = [progress.record]
        self.latest = progress.params, progress.optimizer_state, len(self.history)

    def due(self, every: int) -> bool:
        """Whether the parameters as they are should be judged and have not been."""
        evaluations = self.judged[0]
        last = evaluations[-1].steps if evaluations else 0
        return self.taken % every == 0 and last < self.taken

    def judge(self, report: Report, evaluation: Evaluation) -> Judged:
        after = self.run().evaluated(report, float(evaluation.goal(report)))
        self.judged = after.evaluations, after.best
        return after.evaluations[-1]

    def out_of_patience(self, evaluation: Evaluation | None) -> bool:
        """Whether as many evaluations in a row as the plan has patience for were no better than the best."""
        evaluations, best = self.judged
        if evaluation is None or evaluation.patience is None or best is None:
            return False
        return sum(judged.steps > best.judged.steps for judged in evaluations) >= evaluation.patience

    def save(self) -> None:
        if self.checkpoints is not None and self.saved < self.taken:
            self.checkpoints.save(self.B, self.run(), self.setup)
            self.saved = self.taken

    def farewell(self) -> str:
        good = f"The last good state is that after {self.taken} steps: it is in the error's `run`"
        if self.checkpoints is None or not self.taken:
            return good
        return f"{good} and the newest checkpoint in {self.checkpoints.folder}"


def _check_state(B: Backend, outer: Optimizer, resume: Run) -> None:
    """The optimiser's state of `resume`, if it has one, has the leaves that the optimiser's own has."""
    if resume.optimizer_state is None:
        return
    with computing(B, resume.params):
        like = sorted(B.tree_paths(outer.init(B, asarray(resume.params, backend=B))))
        given = sorted(B.tree_paths(asarray(resume.optimizer_state, backend=B)))
    if like != given:
        raise InvalidArgumentError(
            f"meta_train: resume: its optimizer_state is of another optimizer: expected {_few(like)}, got "
            f"{_few(given)}; pass the run's own optimizer, or leave the state behind: "
            "dataclasses.replace(run, optimizer_state=None)"
        )


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:4]) + (" ..." if len(paths) > 4 else "") or "nothing"
