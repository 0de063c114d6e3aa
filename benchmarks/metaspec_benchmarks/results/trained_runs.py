"""Runs of `metaspec train` as rows of results: trained here or found in a folder, finished or not.

A row's curve is the accuracy on held-out tasks at each checkpoint that was kept; no choice is made by it. Its final
figure is that of the last step on more tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.errors import InvalidArgumentError
from metaspec.experiments.config import Config, effective
from metaspec.experiments.display import Display
from metaspec.experiments.experiment_run import train_experiment
from metaspec.experiments.run_folder import METRICS, RunFolder, versions
from metaspec.experiments.setup import adapting_algorithm, experiment_of, initial_inner_state, initial_parameters
from metaspec.training import DivergedError, JsonLines, load_checkpoint
from metaspec.training.checkpoints import newest_first
from metaspec.training.evaluation import evaluator
from metaspec_benchmarks.results.simple_baselines import baseline
from metaspec_benchmarks.results.store import ResultRow, Store, machine

QUERIES = 5  # of each class at meta-test: batch normalisation sees the query set, so its size is part of the figure
TASKS_PER_BATCH = 25
FARTHEST = 20  # times the steps taken, beyond which a curve tells nothing
NAMES = {
    "maml": "MAML",
    "fomaml": "FO-MAML",
    "reptile": "Reptile",
    "imaml": "iMAML",
    "anil": "ANIL",
    "mamlpp": "MAML++",
}
OF = ("experiment", "subset", "paper", "ways", "shots", "algorithm", "backend", "seed")


def key_of(settled: Config) -> dict[str, Any]:
    """What a row is found by."""
    return {name: getattr(settled, name) for name in OF}


def run_once(store: Store, say: Callable[[str], None], given: Mapping[str, Any], work: Path, tasks: int) -> None:
    """Train as `metaspec train` would, from where a stopped run left off, and add its row, unless it is there.

    Args:
        store: Of the results.
        say: Called with the row.
        given: Settings, as `effective` takes them.
        work: Where folders of runs are kept.
        tasks: Held-out tasks of the final figure.
    """
    settled = effective(given)
    if store.find(key_of(settled)) is not None:
        return
    folder = work / "-".join(str(value) for value in key_of(settled).values() if value is not None)
    B = get_backend(settled.backend)
    run = RunFolder.open(folder) if (folder / "run.json").exists() else RunFolder.create(folder, settled, B)
    callbacks = [JsonLines(folder / METRICS), Display(run.config.steps)]
    try:
        train_experiment(run, B, experiment_of(run.config), callbacks, say)
    except DivergedError as error:
        store.add(key_of(settled), _about(settled, B) | {"diverged": str(error)})
        return
    add(store, say, folder, tasks)


def add(store: Store, say: Callable[[str], None], folder: Path, tasks: int, curve_tasks: int = 200) -> None:
    """Add the row of the run in a folder, wherever it stands.

    Args:
        store: Of the results.
        say: Called with the row.
        folder: Of the run.
        tasks: Held-out tasks of the final figure.
        curve_tasks: Of the figures before training and at each checkpoint.

    Raises:
        InvalidArgumentError: There is no run in the folder, or no checkpoint yet.
    """
    settled = RunFolder.open(folder).config
    row = judged(settled, folder, tasks, curve_tasks)
    store.add(key_of(settled), row)
    say(f"{command(settled)}: {row}")


def judged(settled: Config, folder: Path, tasks: int, curve_tasks: int) -> ResultRow:
    """Return the figures of the run in a folder: accuracies in per cent, of a regression the mean squared errors.

    Raises:
        InvalidArgumentError: It has no checkpoint yet.
    """
    B = get_backend(settled.backend)
    problem = experiment_of(settled if settled.ways is None else replace(settled, queries=QUERIES))
    start = initial_parameters(settled, problem)
    test = evaluator(B, adapting_algorithm(settled), problem.network.loss, problem.metric)

    def figure(params: Any, tasks: int, state: Any) -> list[float]:
        report = test(params, problem.test, tasks, TASKS_PER_BATCH, state)
        estimate = report.loss_after if report.metric_after is None else report.metric_after.percent()
        return [float(f"{value:.4g}") for value in estimate]

    checkpoints = sorted(newest_first(folder / "checkpoints"))
    if not checkpoints:
        raise InvalidArgumentError(f"{folder}: its training has left no checkpoint yet")
    inner_state = initial_inner_state(settled, start, B)
    runs = [load_checkpoint(path, start, inner_state=inner_state, backend=B) for path in checkpoints]
    return _about(settled, B) | {
        "steps_taken": runs[-1].steps,
        "minutes": round(sum(record.seconds for record in runs[-1].history) / 60, 1),
        "tasks": tasks,
        "baseline": baseline(problem, tasks),
        "untrained": figure(start, curve_tasks, inner_state),
        "trained": figure(runs[-1].params, tasks, runs[-1].inner_state),
        "curve": [[run.steps, *figure(run.params, curve_tasks, run.inner_state)] for run in runs],
    }


def _about(settled: Config, B: Backend) -> ResultRow:
    return {
        "steps": settled.steps,
        "command": command(settled),
        "test_inner_steps": settled.test_inner_steps,
        "versions": versions(B),
        "machine": machine(),
    }


def command(settled: Config) -> str:
    """Return the command that trains so: what its settings are beyond those of its experiment and algorithm."""
    always: Sequence[str] = ("experiment", "data")
    chosen = {name: value for name in OF if (value := getattr(settled, name)) is not None}
    chosen |= {} if settled.data is None else {"data": settled.data}
    usual, said = asdict(effective(chosen)), asdict(settled)
    plain = asdict(effective({name: chosen[name] for name in always if name in chosen}))
    options = {name: said[name] for name in chosen if name not in always and said[name] != plain[name]}
    options |= {name: value for name, value in said.items() if value != usual[name] and value is not None}
    where = [] if settled.data is None else ["--data", "DIR"]
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", f"{value}")]
    return " ".join(["metaspec", "train", settled.experiment, *where, *words])


def steps_to(curve: Sequence[Sequence[float]], accuracy: float) -> tuple[float, bool] | None:
    """Return the outer steps after which the accuracy was reached, and whether they are extrapolated.

    Between two points of the curve the error is taken as a power of the steps; beyond the last point the power is
    that of a line through the logarithms of the curve's second half.

    Returns:
        (steps, False) within the curve, (steps, True) beyond it; None where that would be more than FARTHEST times as
        many steps as were taken, or the curve has fewer than three points to tell.
    """
    points = np.array([[steps, max(100.0 - mean, 1e-3)] for steps, mean, _ in curve])
    wanted = 100.0 - accuracy
    below = np.flatnonzero(points[:, 1] <= wanted)
    if below.size and below[0] == 0:
        return float(points[0, 0]), False
    if below.size:
        (s, e), (t, f) = points[below[0] - 1], points[below[0]]
        return float(s * (t / s) ** (np.log(e / wanted) / np.log(e / f))), False
    half = np.log(points[len(points) // 2 :])
    if len(half) < 3 or wanted <= 0:
        return None
    slope, intercept = np.polyfit(half[:, 0], half[:, 1], 1)
    steps = (np.log(wanted) - intercept) / slope
    far = np.log(FARTHEST) + half[-1, 0]
    return (float(np.exp(steps)), True) if slope < 0 and steps <= far else None
