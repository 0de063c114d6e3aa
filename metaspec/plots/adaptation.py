"""What a regression network makes of a few points: its curve before adaptation and after a number of steps."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from metaspec.algorithms.base import adapting_for
from metaspec.api import adapt
from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidArgumentError
from metaspec.inner.continued import RuleState
from metaspec.plots.figures import INK, PALE, panels, style
from metaspec.task import Array, Tree

GRID = 201


class Regression(Protocol):
    """A network of one input and one output."""

    def apply(self, params: Tree, x: Array) -> Array:
        """Return outputs [N, 1] for inputs [N, 1]."""

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Return the loss that adaptation descends."""


def adaptation_curves(
    algo: Any,
    network: Regression,
    params: Tree,
    source: TaskSource,
    *,
    tasks: Sequence[int] = (0, 1, 2),
    steps: Sequence[int] = (0, 1, 10),
    state: RuleState | None = None,
    backend: str | Backend | None = None,
) -> Any:
    """Draw a matplotlib Figure: of each task its support set and the network's curve after so many inner steps.

    Args:
        algo: The algorithm; its own number of inner steps is replaced.
        network: Such as `metaspec.nn.sinusoid_mlp()`.
        params: The meta-parameters.
        source: Of tasks with one input. Where it has `values(index, x)`, such as `data.Sinusoid`, the function itself
            is drawn too.
        tasks: Numbers of tasks, a panel for each.
        steps: Numbers of inner steps, a curve for each.
        state: As in `meta_test`.
        backend: As in `meta_test`.

    Raises:
        InvalidArgumentError: No task, no step, or more inputs than one.
        LibraryMissingError: matplotlib is not installed.
        MetaspecError: As `adapt`.
    """
    counts = [checked_integer(k, "adaptation_curves: steps", least=0) for k in steps]
    numbers = [checked_integer(i, "adaptation_curves: tasks", least=0) for i in tasks]
    if not counts or not numbers:
        raise InvalidArgumentError("adaptation_curves: expected at least one task and one number of steps")
    B = resolve(backend, params)
    figure, places = panels(1, len(numbers), 3.6, 3.2)
    for axes, number in zip(places, numbers, strict=True):
        task = source.task(number)
        if task.support["x"].shape[1:] != (1,):
            raise InvalidArgumentError(
                f"adaptation_curves: expected tasks of one input, x [shots, 1], got x {list(task.support['x'].shape)}"
            )
        points = np.concatenate([task.support["x"], task.query["x"]])
        grid = np.linspace(points.min(), points.max(), GRID, dtype=points.dtype)[:, None]
        if hasattr(source, "values"):
            axes.plot(
                grid[:, 0], source.values(number, grid[:, 0]), color=PALE, linewidth=3, label="the task's function"
            )
        for k, count in enumerate(counts):
            with computing(B, params):
                theta = adapt(
                    adapting_for(algo, count),
                    network.loss,
                    asarray(params, backend=B),
                    asarray(task.support, backend=B),
                    state=state,
                )
                theta = theta if state is None else theta[0]
                curve = B.to_numpy(network.apply(theta, asarray(grid, backend=B)))
            axes.plot(grid[:, 0], curve[:, 0], label=_named(count), **style(k))
        axes.plot(task.support["x"][:, 0], task.support["y"][:, 0], "o", color=INK, markersize=4, label="support set")
        axes.set(title=f"task {number}", xlabel="x")
    places[0].set_ylabel("y")
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _named(steps: int) -> str:
    return "before" if steps == 0 else f"after {steps} step{'s' if steps > 1 else ''}"
