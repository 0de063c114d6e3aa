"""The state of a training between two outer steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.checks.caller_warnings import warn_caller
from metaspec.errors import InvalidArgumentError
from metaspec.inner.continued import RuleState
from metaspec.ranks import RankGroup
from metaspec.task import Tree
from metaspec.training import checkpoint
from metaspec.training.agreement import agree, agree_on_parameters, checkpoint_of_first, with_versions
from metaspec.training.checkpoints import Checkpoints
from metaspec.training.describe import described, differences
from metaspec.training.evaluation import Evaluation, EvaluationReport, evaluator
from metaspec.training.outer_optimizers import Optimizer
from metaspec.training.run import Best, Judged, Run, StepRecord
from metaspec.training.steps import Progress, TrainingPlan


@dataclass
class TrainingState:
    """A training under way. `latest` is replaced in one go: an interrupt between two lines leaves nothing half done.

    Attributes:
        B: The backend.
        ranks: The processes that train together; the first of them saves.
        setup: The description of the training that its checkpoints hold.
        checkpoints: Where and how often to save; None never does.
        evaluation: What to judge on, and when; None never does.
        test: The compiled `meta_test` of the evaluation.
        latest: Parameters, optimiser's state, inner rule's state (None where it is not carried), steps taken.
        history: The records of the steps.
        judged: The evaluations so far, and the best of them.
        saved: The number of steps that the newest checkpoint has.
    """

    B: Backend
    ranks: RankGroup
    setup: Any
    checkpoints: Checkpoints | None
    evaluation: Evaluation | None
    test: Callable[..., EvaluationReport] | None
    latest: tuple[Tree, Tree, RuleState | None, int]
    history: list[StepRecord]
    judged: tuple[tuple[Judged, ...], Best | None]
    saved: int

    @staticmethod
    def begin(
        plan: TrainingPlan,
        params: Tree,
        resume: Run | None,
        checkpoints: Checkpoints | None,
        evaluation: Evaluation | None,
        steps: int,
    ) -> "TrainingState":
        """Return the state before the first step of this process: the checkpoint's, that of `resume`, or a fresh one.

        Raises:
            InvalidArgumentError: Both `resume` and a checkpoint are there, or the checkpoint is of another set-up.
            RankError: The ranks do not agree in what they are to do.
        """
        B, outer, setup, ranks = plan.B, plan.optimizer, plan.described(), plan.ranks
        whole = {**setup, "steps": steps, "evaluation": described(evaluation)}
        agree(ranks, "versions or settings", lambda: with_versions(B, whole))
        stored = None if checkpoints is None or not ranks.first else checkpoints.newest()
        stored = stored if checkpoints is None else checkpoint_of_first(ranks, stored)
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
            resume = checkpoint.restore(stored, B, params, outer, plan.first_inner_state(params))
        elif resume is not None:
            _check_state(B, outer, resume)
        if resume is None:
            with computing(B, params):
                params = asarray(params, backend=B)
                resume = Run(params, outer.init(B, params))
        inner = plan.first_inner_state(resume.params)
        if inner is not None and resume.inner_state is not None:
            inner = asarray(resume.inner_state, backend=B)
        first, size = resume.steps, plan.tasks_per_step
        agree(ranks, "tasks", lambda: {f"step {first}": described(plan.task_source.batch(first, size)._asdict())})
        agree_on_parameters(ranks, resume.params, first)
        return TrainingState(
            B,
            ranks,
            setup,
            checkpoints,
            evaluation,
            test=None
            if evaluation is None
            else evaluator(B, evaluation.algo or plan.algorithm_at(0), plan.loss, evaluation.metric, ranks),
            latest=(resume.params, resume.optimizer_state, inner, resume.steps),
            history=list(resume.history),
            judged=(resume.evaluations, resume.best),
            saved=0 if stored is None else resume.steps,
        )

    @property
    def taken(self) -> int:
        """The number of outer steps taken so far."""
        return self.latest[3]

    def run(self) -> Run:
        """Return the training as it stands."""
        params, state, inner, taken = self.latest
        return Run(params, state, tuple(self.history[:taken]), *self.judged, inner)

    def advance(self, progress: Progress) -> None:
        """Take over what a step left behind."""
        self.history[self.taken :] = [progress.record]
        self.latest = progress.params, progress.optimizer_state, progress.inner_state, len(self.history)

    def evaluate_if_due(self) -> Judged | None:
        """Judge the parameters as they are where the evaluation's interval has passed and they have not been judged."""
        plan, evaluations = self.evaluation, self.judged[0]
        last = evaluations[-1].steps if evaluations else 0
        if plan is None or self.test is None or self.taken % plan.every or last >= self.taken:
            return None
        report = self.test(self.latest[0], plan.source, plan.tasks, plan.tasks_per_batch, self.latest[2])
        after = self.run().evaluated(report, float(plan.goal(report)))
        self.judged = after.evaluations, after.best
        return after.evaluations[-1]

    def out_of_patience(self) -> bool:
        """Return whether as many evaluations in a row as the plan has patience for were no better than the best."""
        evaluations, best = self.judged
        if self.evaluation is None or self.evaluation.patience is None or best is None:
            return False
        return sum(judged.steps > best.judged.steps for judged in evaluations) >= self.evaluation.patience

    def save_if_due(self) -> None:
        """Write a checkpoint where the interval between two has passed."""
        if self.checkpoints is not None and self.taken % self.checkpoints.every == 0:
            self.check_ranks()
            self.save()

    def check_ranks(self) -> None:
        """Raise RankError unless all ranks have equal parameters."""
        with computing(self.B, self.latest[0]):
            agree_on_parameters(self.ranks, self.latest[0], self.taken)

    def save(self) -> None:
        """Write a checkpoint, unless the newest has the steps taken so far; rank 0 does."""
        if self.checkpoints is not None and self.saved < self.taken and self.ranks.first:
            self.checkpoints.save(self.B, self.run(), self.setup)
            self.saved = self.taken

    def resume_hint(self) -> str:
        """Return where the last good state can be found, for the message of an error."""
        good = f"The last good state is that after {self.taken} steps: it is in the error's `run`"
        if self.checkpoints is None or not self.taken:
            return good
        return f"{good} and the newest checkpoint in {self.checkpoints.folder}"


def _check_state(B: Backend, outer: Optimizer, resume: Run) -> None:
    """The optimiser's state of `resume`, if it has one, has the leaves that the optimiser's own has."""
    with computing(B, resume.params):
        like = sorted(B.tree_paths(outer.init(B, asarray(resume.params, backend=B))))
        if resume.optimizer_state is None:
            if like and resume.steps:
                warn_caller(
                    f"meta_train: resume: it has no optimizer_state, so the optimizer starts afresh ({_few(like)}); "
                    "load_checkpoint(path, params, optimizer) brings the state with it"
                )
            return
        given = sorted(B.tree_paths(asarray(resume.optimizer_state, backend=B)))
    if like != given:
        raise InvalidArgumentError(
            f"meta_train: resume: its optimizer_state is of another optimizer: expected {_few(like)}, got "
            f"{_few(given)}; pass the run's own optimizer, or leave the state behind: "
            "dataclasses.replace(run, optimizer_state=None)"
        )


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:4]) + (" ..." if len(paths) > 4 else "") or "nothing"
