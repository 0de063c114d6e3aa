"""metaspec's own forms, the same on every backend, and the gradients that the physical limit is made of."""

from collections.abc import Callable
from functools import partial
from typing import Any

import metaspec as ms
from metaspec.algorithms.adjoint import CHECKPOINTS
from metaspec.algorithms.meta_batch import chosen_chunk, over_tasks
from metaspec.api import Tier
from metaspec.task import MetaGradient, Task, Tree
from metaspec.trees import add_scaled
from metaspec_benchmarks.benchmark_cases import LONG, MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

GRADIENTS = 4
PARTS = ("support", "query")

Wait = Callable[[Any], Any]
"""Returns its argument once it is computed."""


def forms(backend: str, wait: Wait = lambda x: x, *, native: bool = False) -> list[TimedForm]:
    """Compiled, compiled with the other modes of `checkpoint`, eager; the plain gradients.

    Args:
        backend: Whose arrays.
        wait: For frameworks that compute while Python goes on.
        native: Whether `tier="native"` is another form here.
    """
    found = [
        compiled(backend, wait),
        *(
            TimedForm(f"metaspec, {mode}", "metaspec", partial(_compiled, backend, wait, mode, "default"))
            for mode in CHECKPOINTS
            if mode != "none"
        ),
        TimedForm("metaspec, eager", "metaspec", partial(_eager, backend, wait)),
        *_gradients(backend, wait, "default"),
    ]
    if native:
        build = partial(_compiled, backend, wait, "none", "native")
        found += [TimedForm("metaspec, native", "metaspec", build, slow=True), *_gradients(backend, wait, "native")]
    return found


def _gradients(backend: str, wait: Wait, tier: Tier) -> list[TimedForm]:
    """Return the timed forms of the inner and outer gradients alone; the fastest is the limit.

    The tasks are taken as many at once as metaspec takes, and one at a time.
    Native code has the tasks in turn as straight code, which takes its compiler minutes and was never the faster.
    """
    ends = "" if tier == "default" else f", {tier}"
    return [
        TimedForm(
            f"gradient, {part}{', one at a time' if alone else ''}{ends}",
            "limit",
            partial(_gradient, backend, wait, part, tier, alone),
            slow=tier == "native",
        )
        for part in PARTS
        for alone in ((False, True) if tier == "default" else (False,))
    ]


def compiled(backend: str, wait: Wait) -> TimedForm:
    """The form that users get by default."""
    return TimedForm("metaspec", "metaspec", partial(_compiled, backend, wait, "none", "default"))


def chunked(backend: str, wait: Wait, chunk: int) -> TimedForm:
    """Compiled, `chunk` tasks at a time."""

    def build(case: BenchmarkCase) -> Built:
        return _built(backend, wait, case, ms.compile(_step(case, "none", chunk)))

    return TimedForm(f"{chunk} at a time", "metaspec", build)


def _compiled(backend: str, wait: Wait, checkpoint: str, tier: Tier, case: BenchmarkCase) -> Built | None:
    if checkpoint != "none" and (case.steps < LONG or case.solver_steps is not None):
        return None
    if tier == "native" and case.steps > LONG:
        return None
    return _built(backend, wait, case, ms.compile(_step(case, checkpoint), tier=tier))


def _eager(backend: str, wait: Wait, case: BenchmarkCase) -> Built | None:
    return None if case.steps > LONG else _built(backend, wait, case, _step(case, "none"))


def _step(case: BenchmarkCase, checkpoint: str, chunk: int | None = None) -> Callable[[Tree, Task], Any]:
    algo, loss = case.algorithm(checkpoint), case.network.loss

    def step(params: Tree, tasks: Task) -> Any:
        r = ms.batch_meta_gradient(algo, loss, params, tasks, chunk_size=chunk)
        return r.delta, r.query_loss

    return step


def _built(backend: str, wait: Wait, case: BenchmarkCase, step: Callable[..., Any]) -> Built:
    B = ms.get_backend(backend)
    params, tasks = ms.asarray((case.params(), case.batch()), backend=backend)
    return Built(
        lambda: wait(step(params, tasks)), lambda found: {name: B.to_numpy(leaf) for name, leaf in found[0].items()}
    )


def _gradient(backend: str, wait: Wait, part: str, tier: Tier, alone: bool, case: BenchmarkCase) -> Built | None:
    """The gradient of each task at parameters of its own, several after one another, so that a call costs nothing.

    They are steps of descent from where all tasks start: parameters stay in the caches, as they do in adaptation.
    """
    B = ms.get_backend(backend)
    params, data = ms.asarray((case.params(), getattr(case.batch(), part)), backend=backend)
    chunk = chosen_chunk(B, params, case.tasks)
    if alone and (chunk == 1 or case.tasks > MANY):
        return None

    def one(params: Tree, task: Task) -> MetaGradient:
        theta = params
        for _ in range(GRADIENTS):
            value, gradient = B.value_and_grad(case.network.loss)(theta, task.support)
            theta = add_scaled(B, theta, -case.lr, gradient)
        return MetaGradient(theta, value, None, None)  # type: ignore[arg-type]

    def all_of_them(params: Tree, data: Tree) -> Any:
        r = over_tasks(B, partial(one, params), params, Task(data, None), case.tasks, 1 if alone else chunk)
        return r.delta, r.query_loss

    step = ms.compile(all_of_them, tier=tier)
    return Built(lambda: wait(step(params, data)), None, work=GRADIENTS)
