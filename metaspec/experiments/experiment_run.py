"""One run of an experiment: trained, evaluated on held-out tasks, and saved in its folder."""

from collections.abc import Callable
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.experiments.config import Config
from metaspec.experiments.problems import Experiment
from metaspec.experiments.run_folder import RunFolder
from metaspec.experiments.setup import (
    adapting_algorithm,
    initial_parameters,
    optimizer_of,
    trained_algorithm,
)
from metaspec.inner.continued import RuleState
from metaspec.training import (
    Checkpoints,
    Evaluation,
    EvaluationReport,
    Run,
    error_after,
    load_checkpoint,
    loss_after,
    meta_test,
    meta_train,
)
from metaspec.training.checkpoints import newest_first

UNTRAINED = "untrained"
MORE = 10  # inner steps after which the papers look at a regression again


def evaluate_experiment(
    settled: Config,
    B: Backend,
    problem: Experiment,
    params: Any,
    inner_steps: int | None = None,
    state: RuleState | None = None,
) -> EvaluationReport:
    """Return the figures of these parameters, and of the inner rule's state, on the experiment's held-out tasks."""
    loss, metric, tasks = problem.network.loss, problem.metric, settled.test_tasks
    algo = adapting_algorithm(settled, inner_steps)
    return meta_test(algo, loss, params, problem.test, tasks=tasks, metric=metric, state=state, backend=B)


def train_experiment(
    run: RunFolder,
    B: Backend,
    problem: Experiment,
    callbacks: list[Any],
    say: Callable[[str], None],
    *,
    check: bool = True,
) -> tuple[dict[str, EvaluationReport], Run]:
    """Meta-train as the run's settings say, evaluate before and after, and save the result in the run's folder.

    Args:
        run: Where the run is kept.
        B: The backend.
        problem: The experiment that the settings describe.
        callbacks: As in `meta_train`.
        say: Called with a line that a person may want to read.
        check: As in `meta_train`.

    Returns:
        The evaluations by name, and the training.
    """
    settled = run.config
    params = initial_parameters(settled, problem)
    reports = {UNTRAINED: evaluate_experiment(settled, B, problem, params)}
    evaluation = None
    if settled.evaluate_every:
        evaluation = Evaluation(
            problem.validation,
            every=settled.evaluate_every,
            tasks=settled.evaluate_tasks,
            metric=problem.metric,
            goal=loss_after if problem.metric is None else error_after,
            patience=settled.patience,
            algo=adapting_algorithm(settled),
        )
    done = meta_train(
        trained_algorithm(settled),
        problem.network.loss,
        params,
        problem.train,
        steps=settled.steps,
        tasks_per_step=settled.tasks_per_step,
        optimizer=optimizer_of(settled),
        clip_norm=settled.clip_norm,
        carry_state=bool(settled.carry_state),
        evaluation=evaluation,
        checkpoints=Checkpoints(run.checkpoints, settled.checkpoint_every, settled.keep),
        callbacks=callbacks,
        prefetch=settled.prefetch,
        check=check,
        backend=B,
    )
    if done.best is not None:
        say(f"the best of {len(done.evaluations)} evaluations: that after {done.best.judged.steps} steps")
    best, state = done.best_params, done.inner_state
    reports["trained"] = evaluate_experiment(settled, B, problem, best, state=state)
    if problem.metric is None and settled.inner_steps != MORE:
        reports[f"trained, {MORE} inner steps"] = evaluate_experiment(settled, B, problem, best, MORE, state)
    run.save_result(B, best, done.steps, reports)
    return reports, done


def save_unfinished(run: RunFolder, B: Backend, problem: Experiment, **more: Any) -> int:
    """Save what there is of a training that has stopped, and return the number of steps that it has taken."""
    steps, params = 0, None
    if any(newest_first(run.checkpoints)):
        so_far = load_checkpoint(run.checkpoints, initial_parameters(run.config, problem), backend=B)
        steps, params = so_far.steps, so_far.best_params
    if not run.finished:  # else it was gone on with to no purpose, and loses nothing
        run.save_result(B, params, steps, {}, **more)
    return steps
