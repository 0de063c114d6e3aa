"""HIPS autograd: a gradient through the unrolled inner loop, of all tasks at once and task by task."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from metaspec.nn import MLP
from metaspec_benchmarks.benchmark_cases import MANY, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm

NEEDS = (("autograd", "autograd"),)


def forms() -> list[TimedForm]:
    """Batched by hand, and with a loop over tasks."""
    return [
        TimedForm("autograd, batched loss", "library", partial(_build, True), NEEDS),
        TimedForm("autograd, loop over tasks", "library", partial(_build, False), NEEDS),
    ]


def _build(batched: bool, case: BenchmarkCase) -> Built | None:
    if not isinstance(case.network, MLP) or case.solver_steps is not None:
        return None
    if not batched and case.tasks > MANY:
        return None
    import autograd

    loss = _loss(case.network)
    support, query = case.batch()
    start = case.params()
    gradient = autograd.grad(loss)

    def adapted(theta: Any, batch: Any) -> Any:
        for _ in range(case.steps):
            step = gradient(theta, batch)
            theta = {name: leaf - case.lr * step[name] for name, leaf in theta.items()}
        return theta

    if not batched:
        outer = autograd.value_and_grad(lambda params, s, q: loss(adapted(params, s), q))

        def one_by_one() -> Any:
            rows = [
                outer(start, *({name: leaf[t] for name, leaf in part.items()} for part in (support, query)))[::-1]
                for t in range(case.tasks)
            ]
            return {name: sum(row[0][name] for row in rows) / case.tasks for name in start}, rows

        return Built(one_by_one, lambda found: found[0])

    import autograd.numpy as anp

    def total(params: Any) -> Any:
        """The tasks' losses summed: the gradient of one task's share is that task's gradient."""
        ones = anp.ones((case.tasks, 1, 1), dtype="float32")
        stacked = {name: leaf * ones for name, leaf in params.items()}
        return loss(adapted(stacked, support), query) / case.tasks

    outer = autograd.value_and_grad(total)
    return Built(
        lambda: outer({name: leaf if leaf.ndim == 2 else leaf[None] for name, leaf in start.items()})[::-1],
        lambda found: {name: leaf.reshape(start[name].shape) for name, leaf in found[0].items()},
    )


def _loss(network: MLP) -> Callable[[Any, Any], Any]:
    """The loss of one task, or of stacked tasks their sum.

    No `mean` and no `where` with a Python number: their derivatives are float64 under NumPy 2.
    """
    import autograd.numpy as anp

    last = len(network.sizes) - 2

    def loss(params: Any, batch: Any) -> Any:
        h = batch["x"]
        for i in range(last + 1):
            h = anp.matmul(h, params[f"w{i}"]) + params[f"b{i}"]
            h = h * (h > 0).astype("float32") if i < last else h
        share = np.float32(1 / (h.shape[-2] * (1 if network.classifier else h.shape[-1])))
        if not network.classifier:
            difference = h - batch["y"]
            return anp.sum(difference * difference) * share
        h = h - anp.max(h, axis=-1, keepdims=True)
        log_p = h - anp.log(anp.sum(anp.exp(h), axis=-1, keepdims=True))
        chosen = (batch["y"][..., None] == np.arange(network.sizes[-1])).astype("float32")
        return -anp.sum(log_p * chosen) * share

    return loss
