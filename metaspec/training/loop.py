"""Meta-training: the outer loop, with evaluations, checkpoints and callbacks on the way."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

from metaspec.algorithms.base import Algorithm
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidTypeError, NonFiniteError
from metaspec.ranks import TIMEOUT, Distributed, ranks_for
from metaspec.task import Tree
from metaspec.training.callbacks import check_callbacks, listening, tell
from metaspec.training.checkpoints import Checkpoints
from metaspec.training.errors import DivergedError
from metaspec.training.evaluation import Evaluation
from metaspec.training.run import Run
from metaspec.training.steps import Progress, TrainingPlan
from metaspec.training.training_state import TrainingState

GROWN = (
    "If the query loss grew over the outer steps before, the outer learning rate is too large: lower it, or give "
    "clip_norm"
)


def meta_train(
    algo: Algorithm | Callable[[int], Algorithm],
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    task_source: TaskSource,
    *,
    steps: int,
    tasks_per_step: int = 25,
    optimizer: Any = None,
    clip_norm: float | None = None,
    carry_state: bool = False,
    evaluation: Evaluation | None = None,
    checkpoints: Checkpoints | None = None,
    resume: Run | None = None,
    callbacks: Sequence[Callable[[Progress], Any]] = (),
    prefetch: int = 1,
    check: bool = True,
    distributed: Distributed = "auto",
    rank_timeout: float = TIMEOUT,
    backend: str | Backend | None = None,
) -> Run:
    """Meta-train: sample tasks, adapt to each, move the meta-parameters along the mean meta-update.

    phi <- optimizer(phi, mean_t delta_t), on the source's batches number 0, 1, ..., until there are `steps` steps.

    With `checkpoints` a training that was killed, at whatever moment, goes on when it is called again, and ends with
    the same bits as if it had not been (on the same backend and machine).

    Args:
        algo: The algorithm; or a function of the number of the outer step that gives it, for what changes on the way
            (derivative order, weights of the losses). A change compiles the step anew, so give equal algorithms where
            nothing changes; all learn the same inputs. Evaluations judge that of step 0 unless they name one.
        loss: As in `meta_gradient`.
        params: The first meta-parameters; NumPy arrays are converted to the chosen backend.
        task_source: Gives `batch(step, size)`: a stacked Task of NumPy arrays.
        steps: Number of outer steps in all, those of `resume` or of the checkpoint among them; >= 0.
        tasks_per_step: The meta-batch size.
        optimizer: `Adam(1e-3)` unless given; SGD, AdamW, an optax transformation, a class of torch.optim (or
            functools.partial of one), a Keras optimizer.
        clip_norm: The mean meta-update is shortened to this norm (over all leaves) where it is longer.
        carry_state: The inner rule does not start afresh in each task: a step's tasks start from the mean of the states
            that the last step's tasks ended with, and evaluations from the state at hand. Published Reptile keeps one
            state of Adam so; with `tasks_per_step=1` it is handed from task to task.
        evaluation: Judge on held-out tasks on the way; the best parameters are kept, and training may stop early.
        checkpoints: Where and how often to save. Where the folder has checkpoints of this training, it goes on.
        resume: A Run to go on from, of any backend; `params` is then its own.
        callbacks: Each is called with the Progress after each step; True ends the training. Where one has them,
            `start(run)` is called before the first step, `evaluated(judged)` after an evaluation, `end(run)` last.
        prefetch: How many batches a thread makes ahead; 0 makes them in turn. The bits are the same.
        check: Look at the loss on the first task before the first step (`metaspec.check_loss`), and warn where the
            query loss grows by orders of magnitude, with the cause.
        distributed: "auto": where the backend's engine has joined several processes, each takes its share of the tasks
            of each step, and all end with the same bits (docs/scale.md). Rank 0 alone writes checkpoints, calls
            callbacks and warns. True: it is an error where the engine has joined none. False: each trains for itself.
        rank_timeout: Seconds that the others wait for a process before it is said to hang.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        Run.

    Raises:
        LossCheckError: The look at the loss found what would silently make the result wrong; the message says what to
        do. DivergedError: NaN or infinity arose; the message names the outer step, the inner step and the leaf; its
            `run` is the training up to the last good step, which is also the newest checkpoint.
        CheckpointError: The checkpoints are damaged, or of another model.
        InvalidArgumentError: The checkpoints are of another set-up; the message says what differs.
        RankError: Another process has failed, ended, hangs, or differs in version, set-up or data; the message names
            it.
        MetaspecError: As `batch_meta_gradient`.

    Example:
        >>> from metaspec import data, nn
        >>> import metaspec as ms
        >>> net = nn.sinusoid_mlp()
        >>> algo = ms.MAML(ms.GradientDescent(lr=0.01, steps=1))
        >>> run = ms.meta_train(algo, net.loss, net.init(seed=0), data.Sinusoid(), steps=3, backend="numpy")
        >>> len(run.history), sorted(run.params)
        (3, ['b0', 'b1', 'b2', 'w0', 'w1', 'w2'])
    """
    steps = checked_integer(steps, "meta_train: steps", least=0)
    _check_types(resume=(resume, Run), evaluation=(evaluation, Evaluation), checkpoints=(checkpoints, Checkpoints))
    check_callbacks(callbacks)
    B = resolve(backend, params)
    with ranks_for(B, distributed, "meta_train", rank_timeout) as ranks, ExitStack() as stack:
        plan = TrainingPlan(
            B, algo, loss, task_source, optimizer, tasks_per_step, clip_norm, carry_state, prefetch, check, ranks
        )
        callbacks = callbacks if ranks.first else ()
        if checkpoints is not None and ranks.first:
            stack.enter_context(checkpoints.held())
        state = TrainingState.begin(plan, params, resume, checkpoints, evaluation, steps)
        stream = stack.enter_context(closing(plan.steps(*state.latest)))
        stack.enter_context(listening(callbacks, state.run))
        try:
            stop = False
            while True:
                judged = state.evaluate_if_due()
                if judged is not None:
                    tell(callbacks, "evaluated", judged)
                state.save_if_due()
                if state.taken >= steps or state.out_of_patience():
                    break
                if stop:
                    plan.stop(state.latest[0], state.latest[2])
                    break
                progress = next(stream, None)
                if progress is None:  # rank 0 has stopped
                    break
                state.advance(progress)
                answers = [callback(progress) for callback in callbacks]
                stop = any(answer is True for answer in answers)
            state.check_ranks()
        except NonFiniteError as error:
            hint = f"{GROWN}. {state.resume_hint()}" if state.taken else state.resume_hint()
            raise DivergedError(f"{error}. {hint}", state.run()) from error
        finally:
            state.save()
        return state.run()


def _check_types(**arguments: tuple[Any, type]) -> None:
    for name, (value, kind) in arguments.items():
        if value is not None and not isinstance(value, kind):
            raise InvalidTypeError(
                f"meta_train: {name} must be of type {kind.__name__} or None, got {type(value).__name__}"
            )
