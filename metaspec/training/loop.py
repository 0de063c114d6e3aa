"""Meta-training: outer steps, and on the way evaluations, checkpoints, and whatever is called back."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

from metaspec.algorithms.base import Algorithm
from metaspec.backend.arrays import plain_leaves
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer
from metaspec.data.source import TaskSource, check_source
from metaspec.errors import InvalidTypeError, NonFiniteError
from metaspec.files import sole_user, sweep
from metaspec.task import Tree
from metaspec.training.checkpoints import Checkpoints
from metaspec.training.describe import described
from metaspec.training.errors import DivergedError
from metaspec.training.evaluation import Evaluation, evaluator
from metaspec.training.framework_optimizers import optimizer_for
from metaspec.training.optimizers import Adam
from metaspec.training.run import Run
from metaspec.training.state import Journey
from metaspec.training.steps import Progress, training_steps


def meta_train(
    algo: Algorithm,
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    *,
    steps: int,
    tasks_per_step: int = 25,
    optimizer: Any = None,
    clip_norm: float | None = None,
    evaluation: Evaluation | None = None,
    checkpoints: Checkpoints | None = None,
    resume: Run | None = None,
    callbacks: Sequence[Callable[[Progress], Any]] = (),
    prefetch: int = 1,
    backend: str | Backend | None = None,
) -> Run:
    """Algorithm 1 of the field: sample tasks, adapt to each, move the meta-parameters along the mean meta-update.

    phi <- optimizer(phi, mean_t delta_t), on the source's batches number 0, 1, ..., until there are `steps` steps.

    With `checkpoints` a training that was killed, at whatever moment, goes on when it is called again, and ends with
    the same bits as if it had not been (on the same backend and machine).

    Args:
        algo: The algorithm.
        loss: As in `meta_gradient`.
        params: The first meta-parameters; NumPy arrays are converted to the chosen backend.
        task_source: Gives `batch(step, size)`: a stacked Task of NumPy arrays.
        steps: Number of outer steps in all, those of `resume` or of the checkpoint among them; >= 0.
        tasks_per_step: The meta-batch size.
        optimizer: `Adam(1e-3)` unless given; SGD, AdamW, an optax transformation, a class of torch.optim (or
            functools.partial of one), a Keras optimizer.
        clip_norm: The mean meta-update is shortened to this norm (over all leaves) where it is longer.
        evaluation: Judge on held-out tasks on the way; the best parameters are kept, and training may stop early.
        checkpoints: Where and how often to save. Where the folder has checkpoints of this training, it goes on.
        resume: A Run to go on from, of any backend; `params` is then its own.
        callbacks: Each is called with the Progress after each step; True ends the training. Where one has them,
            `start(run)` is called before the first step, `evaluated(judged)` after an evaluation, `end(run)` last.
        prefetch: How many batches a thread makes ahead; 0 makes them in turn. The bits are the same.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        Run.

    Raises:
        DivergedError: NaN or infinity arose; the message names the outer step, the inner step and the leaf; its `run`
            is the training up to the last good step, which is also the newest checkpoint.
        CheckpointError: The checkpoints are damaged, or of another model.
        InvalidArgumentError: The checkpoints are of another set-up; the message says what differs.
        MetaspecError: As `batch_meta_gradient`.

    Example:
        >>> from metaspec import data, nn
        >>> network = nn.sinusoid_mlp()
        >>> algo = ms.MAML(ms.GradientDescent(lr=0.01, steps=1))
        >>> run = ms.meta_train(algo, network.loss, network.init(seed=0), data.Sinusoid(), steps=100, backend="numpy")
    """
    steps = checked_integer(steps, "meta_train: steps", least=0)
    for name, value, kind in (
        ("resume", resume, Run),
        ("evaluation", evaluation, Evaluation),
        ("checkpoints", checkpoints, Checkpoints),
    ):
        if value is not None and not isinstance(value, kind):
            raise InvalidTypeError(
                f"meta_train: {name} must be of type {kind.__name__} or None, got {type(value).__name__}"
            )
    check_source(task_source, "meta_train: task_source")
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise InvalidTypeError(
            f"meta_train: callbacks must be a list of functions (or JsonLines, TensorBoard ...), got {callbacks!r}"
        )
    B = resolve(backend, plain_leaves(params))
    outer = optimizer_for(B, Adam() if optimizer is None else optimizer)
    setup = described(
        {
            "algorithm": algo,
            "loss": loss,
            "optimizer": outer,
            "tasks": task_source,
            "tasks_per_step": tasks_per_step,
            "clip_norm": clip_norm,
        }
    )
    with ExitStack() as stack:
        if checkpoints is not None:
            checkpoints.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(sole_user(checkpoints.folder))
            sweep(checkpoints.folder, "step-*")
        journey = Journey.begin(B, outer, params, resume, checkpoints, setup)
        test = None if evaluation is None else evaluator(B, evaluation.algo or algo, loss, evaluation.metric)
        so_far = journey.run()
        stream = training_steps(
            algo,
            loss,
            so_far.params,
            task_source,
            outer,
            so_far.optimizer_state,
            so_far.steps,
            tasks_per_step,
            clip_norm=clip_norm,
            prefetch=prefetch,
            backend=B,
        )
        stack.enter_context(closing(stream))
        started: list[Callable[[Progress], Any]] = []
        stack.callback(lambda: _tell(started, "end", journey.run()))
        for callback in callbacks:
            _tell([callback], "start", so_far)
            started.append(callback)
        try:
            stop = False
            while True:
                if evaluation is not None and test is not None and journey.due(evaluation.every):
                    plan = evaluation.source, evaluation.tasks, evaluation.tasks_per_batch
                    _tell(callbacks, "evaluated", journey.judge(test(journey.latest[0], *plan), evaluation))
                if checkpoints is not None and journey.taken and journey.taken % checkpoints.every == 0:
                    journey.save()
                if stop or journey.taken >= steps or journey.out_of_patience(evaluation):
                    break
                progress = next(stream)
                journey.step(progress)
                answers = [callback(progress) for callback in callbacks]
                stop = any(answer is True for answer in answers)
        except NonFiniteError as error:
            raise DivergedError(f"{error}. {journey.farewell()}", journey.run()) from error
        finally:
            journey.save()
        return journey.run()


def _tell(callbacks: Sequence[Callable[[Progress], Any]], event: str, what: Any) -> None:
    for callback in callbacks:
        getattr(callback, event, lambda _: None)(what)
