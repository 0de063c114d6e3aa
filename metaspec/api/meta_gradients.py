"""Meta-gradients and adaptation: each function resolves the backend, checks its arguments and calls the algorithm."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from metaspec.algorithms.adapted_vjp import adapted_vjp, adapted_vjp_in_turn, adapted_vjp_over_tasks
from metaspec.algorithms.base import Algorithm, check_algorithm
from metaspec.algorithms.diagnosis import check_adapted, check_finite
from metaspec.algorithms.meta_batch import chosen_chunk, over_tasks
from metaspec.api.ragged import at_work, of_one_size
from metaspec.api.rule_states import mean_state, starting_from, state_after
from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer
from metaspec.checks.inputs import (
    check_data,
    check_params,
    check_sequence,
    check_stacked,
    check_task,
)
from metaspec.inner.continued import RuleState
from metaspec.losses.lifting import lift_loss
from metaspec.task import Loss, MetaGradient, Task, Tree
from metaspec.trees import mean0, scale, tree_map

UserLoss = Callable[[Tree, Tree], Any]


def meta_gradient(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    task: Task,
    *,
    has_aux: bool = False,
    state: RuleState | None = None,
    backend: str | Backend | None = None,
) -> MetaGradient:
    """Meta-update of one task: the gradient of l(theta_K; query) by the meta-parameters, or what stands for it.

    Each algorithm's docstring gives its formula; theta_K are the parameters adapted to the support set.

    Args:
        algo: MAML, FOMAML, Reptile, IMAML or anything else that is an Algorithm.
        loss: A pure function (params, batch) -> scalar, in the framework of `params` or portable (`array_namespace`).
            All randomness comes in through the batch.
        params: The meta-parameters phi: a tree of floating arrays.
        task: Support and query, trees of arrays of the same framework.
        has_aux: The loss returns (value, aux); the query set's aux is in the result.
        state: None: the inner rule starts afresh. Or its state after an earlier task (`initial_state` before the
            first), from which it goes on: a constant under differentiation. The result's `state` is the next one.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        MetaGradient; `delta` has the structure, shapes and dtypes of `params`.

    Raises:
        BackendMismatchError: Arrays of another framework than the chosen one, or of several.
        InvalidArgumentError, InvalidTypeError: `params` is empty or not floating, `task` is no Task, `lr` or `state`
            does not fit.
        LossError: The loss did not return a floating scalar.
        MutationError: The loss changed its parameters in place.
        NonFiniteError: NaN or infinity arose; the message says at which step and in which leaf. Under a trace, where
            values cannot be looked at, `diagnostics.finite` says it instead.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> r = ms.meta_gradient(ms.MAML(ms.GradientDescent(lr=0.1, steps=1)), loss, params, task(2.0))
        >>> r.delta["w"].round(6), r.query_loss.round(6), r.adapted["w"].round(6)
        (np.float64(-2.88), np.float64(3.24), np.float64(1.2))
    """
    check_algorithm(algo)
    given = params
    B, params = _enter(backend, params)
    check_task(B, task)
    task = B.guard.private_copy(task)
    params = B.guard.per_device(params, task)
    lifted = lift_loss(B, loss, has_aux)
    with computing(B, params):
        algo = starting_from(B, algo, state)
        r = algo.meta_gradient(B, lifted, params, task)
        check_finite(B, algo, lifted, params, task, r)
        r = r._replace(state=state_after(algo, state, r.state))
    pull_back = partial(adapted_vjp, B, algo, lifted, params, lambda: algo.inner_batch(B, task))
    return _attached(B, B.guard.detach(r), given, pull_back)


def batch_meta_gradient(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    tasks: Task | Sequence[Task],
    *,
    has_aux: bool = False,
    state: RuleState | None = None,
    chunk_size: int | None = None,
    distributed: bool = False,
    backend: str | Backend | None = None,
) -> MetaGradient:
    """Mean over a meta-batch of the tasks' meta-updates, (1 / n) sum_t delta_t.

    Args:
        algo: As in `meta_gradient`.
        loss: As in `meta_gradient`.
        params: As in `meta_gradient`.
        tasks: One Task whose every leaf has a leading axis over tasks, computed as one batched computation (eager
            TensorFlow: task by task; compile it); or a
            sequence of Task. Of one size they are stacked and batched. Of unequal sizes they are computed one after
            the other; under `compile` each size is then compiled once, whatever the order and the mix.
        has_aux: As in `meta_gradient`; the aux of a batch is stacked.
        state: As in `meta_gradient`; every task starts from it, and the result's is the mean over (this process's)
            tasks, so that their order does not matter.
        chunk_size: How many tasks of one size are computed at once: 1, one after the other; n, in chunks of n (the last
            may be smaller). None: by the rule of docs/performance.md, from the number of parameters and of tasks.
        distributed: `tasks` are this process's share, of any size, and the means are over the tasks of all processes
            that the backend's engine has joined (docs/scale.md), (1 / n) sum_r sum_t delta_t. Every process calls it,
            outside of `compile`. What is per task is of this process's own.
        backend: As in `meta_gradient`.

    Returns:
        MetaGradient: `delta` and `query_loss` are means over the tasks, each task weighing the same whatever its size;
        `adapted` and `diagnostics` (and `aux` where the tasks are of one size, else a list) are per task, axis 0.

    Raises:
        InvalidArgumentError: Zero tasks, leaves of a stacked batch that disagree in axis 0, a `chunk_size` below 1.
        RankError: With `distributed`, another process has failed; the message names it.
        MetaspecError: As `meta_gradient`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> algo = ms.MAML(ms.GradientDescent(lr=0.1, steps=1))
        >>> r = ms.batch_meta_gradient(algo, loss, params, [task(2.0), task(4.0)])
        >>> r.delta["w"].round(6), r.adapted["w"].round(6)  # the mean of -2.88 and -5.44; theta_K of each task
        (np.float64(-4.16), array([1.2, 1.6]))
    """
    check_algorithm(algo)
    given = params
    B, params = _enter(backend, params)
    lifted = lift_loss(B, loss, has_aux)
    chunk = None if chunk_size is None else checked_integer(chunk_size, "batch_meta_gradient: chunk_size", least=1)
    params = B.guard.per_device(params, tasks)

    def own() -> tuple[MetaGradient, int, Callable[[Tree], Tree]]:
        r, count, pull_back = _over_own_tasks(B, algo, loss, lifted, params, tasks, has_aux, state, chunk)
        return B.guard.detach(r), count, pull_back

    with computing(B, params):
        if distributed:
            from metaspec.ranks.sums import over_all_ranks  # imports NumPy, which `import metaspec` does not

            r, _, pull_back = over_all_ranks(B, params, own)
        else:
            r, _, pull_back = own()
    return _attached(B, r, given, pull_back)


def _over_own_tasks(
    B: Backend,
    algo: Algorithm,
    loss: UserLoss,
    lifted: Loss,
    params: Tree,
    tasks: Task | Sequence[Task],
    has_aux: bool,
    state: RuleState | None,
    chunk: int | None,
) -> tuple[MetaGradient, int, Callable[[Tree], Tree]]:
    """Return the mean over these tasks, their number, and the pull-back through `adapted`."""
    continued = starting_from(B, algo, state)

    def per_task(task: Task) -> MetaGradient:
        r = continued.meta_gradient(B, lifted, params, task)
        return _with_arrays(B, r._replace(state=state_after(algo, state, r.state)))

    if isinstance(tasks, Task):
        check_task(B, tasks)
        count = check_stacked(B, tasks)
        stacked = B.guard.private_copy(tasks)
    else:
        sequence = [B.guard.private_copy(task) for task in check_sequence(tasks)]
        for task in sequence:
            check_task(B, task)
        if not of_one_size(B, sequence):
            rows = _one_by_one(B, algo, loss, has_aux, params, state, sequence)
            auxes = [row.aux for row in rows]
            r = _mean(B, B.tree_stack([row._replace(aux=None) for row in rows]), state)
            r = r._replace(aux=auxes if has_aux else None)
            return r, len(sequence), partial(adapted_vjp_in_turn, B, continued, lifted, params, sequence)
        stacked, count = B.tree_stack(sequence), len(sequence)
    chunk = chunk or chosen_chunk(B, params, count)
    r = mean_state(B, over_tasks(B, per_task, params, stacked, count, chunk), state)
    check_finite(B, continued, lifted, params, stacked, r)
    return r, count, partial(adapted_vjp_over_tasks, B, continued, lifted, params, stacked, count, chunk)


def adapt(
    algo: Algorithm,
    loss: UserLoss,
    params: Tree,
    support: Tree,
    *,
    has_aux: bool = False,
    state: RuleState | None = None,
    backend: str | Backend | None = None,
) -> Tree:
    """Adapted parameters theta_K, which the algorithm's inner loop reaches from `params` on a support set (meta-test).

    Args:
        algo: As in `meta_gradient`.
        loss: As in `meta_gradient`.
        params: As in `meta_gradient`.
        support: A tree of arrays, as the loss reads it.
        has_aux: The loss returns (value, aux); the aux is dropped.
        state: As in `meta_gradient`.
        backend: As in `meta_gradient`.

    Returns:
        theta_K, a tree like `params`; where `state` was given, theta_K and the next state.

    Raises:
        MetaspecError: As `meta_gradient`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> theta = ms.adapt(ms.MAML(ms.GradientDescent(lr=0.1, steps=2)), loss, params, task(2.0).support)
        >>> theta["w"].round(6)
        np.float64(1.36)
    """
    check_algorithm(algo)
    given = params
    B, params = _enter(backend, params)
    check_data(B, support, "support")
    params = B.guard.per_device(params, support)
    with computing(B, params):
        lifted, support = lift_loss(B, loss, has_aux), B.guard.private_copy(support)
        algo = starting_from(B, algo, state)
        if state is None:
            theta, reached = algo.adapt_to(B, lifted, params, support), None
        else:
            theta, reached = cast(Any, algo).inner_loop(B, lifted, params, support).end()
        check_adapted(B, algo, lifted, params, support, theta)
    pull_back = partial(adapted_vjp, B, algo, lifted, params, lambda: support)
    theta = B.guard.attach(B.guard.detach(theta), given, pull_back)
    return theta if state is None else (theta, B.guard.detach(state_after(algo, state, reached)))


def _enter(backend: str | Backend | None, params: Tree) -> tuple[Backend, Tree]:
    B = resolve(backend, params)
    check_params(B, params)
    return B, B.guard.private_copy(params)


def _attached(B: Backend, r: MetaGradient, params: Tree, pull_back_adapted: Callable[[Tree], Tree]) -> MetaGradient:
    """The result with `query_loss` and `adapted` as a part of the framework's recording; `delta` stays out of it."""
    return r._replace(
        query_loss=B.guard.attach(r.query_loss, params, lambda v: scale(B, v, r.delta)),
        adapted=B.guard.attach(r.adapted, params, pull_back_adapted),
    )


def _with_arrays(B: Backend, r: MetaGradient) -> MetaGradient:
    return r._replace(aux=tree_map(B, lambda leaf: leaf if B.is_array(leaf) else B.asarray(leaf), r.aux))


def _one_by_one(
    B: Backend,
    algo: Algorithm,
    loss: UserLoss,
    has_aux: bool,
    params: Tree,
    state: RuleState | None,
    tasks: Sequence[Task],
) -> list[MetaGradient]:
    """Return each task's meta-gradient; within a compiled function by a compiled program of the task's size."""

    def one(params: Tree, state: RuleState | None, task: Task) -> MetaGradient:
        r = starting_from(B, algo, state).meta_gradient(B, lift_loss(B, loss, has_aux), params, task)
        return _with_arrays(B, r._replace(state=state_after(algo, state, r.state)))

    programs = at_work.get()
    if programs is not None:
        program = programs.program((B, algo, loss, has_aux), lambda: one)
        return [program(params, state, task) for task in tasks]
    rows = [one(params, state, task) for task in tasks]
    for i, (task, row) in enumerate(zip(tasks, rows, strict=True)):
        check_finite(
            B, starting_from(B, algo, state), lift_loss(B, loss, has_aux), params, task, row, origin=f"task {i}: "
        )
    return rows


def _mean(B: Backend, r: MetaGradient, state: RuleState | None) -> MetaGradient:
    return mean_state(B, r._replace(delta=mean0(B, r.delta), query_loss=mean0(B, r.query_loss)), state)
