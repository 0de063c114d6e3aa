"""The pictures that a run leaves in its folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from metaspec.algorithms.base import Algorithm
from metaspec.backend.protocol import Backend
from metaspec.errors import NonFiniteError
from metaspec.experiments.problems import Experiment
from metaspec.plots import accuracy_of, adaptation_curves, curves, episode_grid, losses_of, predictions, save
from metaspec.task import Tree
from metaspec.training.run import Run

CURVES = ("learning", "accuracy")  # the pictures that show nothing but figures of the training


def illustrate(folder: Path, B: Backend, algo: Algorithm, problem: Experiment, run: Run, params: Tree) -> list[Path]:
    """Draws what was learnt into a folder, as SVG.

    Args:
        folder: Made if it is not there.
        B: The backend.
        algo: The algorithm.
        problem: The experiment: a regression of one input shows its curves, a classification of pictures an episode and
            what was predicted.
        run: The training.
        params: The parameters that it came to.

    Returns:
        The files. Where the adaptation is not finite there is no picture of it.

    Raises:
        LibraryMissingError: matplotlib is not installed.
    """
    pictures: dict[str, Any] = {}
    task = problem.test.task(0)
    shape = task.support["x"].shape[1:]
    with suppress(NonFiniteError):  # the results say so
        if problem.metric is None and shape == (1,):
            pictures["adaptation"] = adaptation_curves(
                algo, problem.network, params, problem.test, state=run.inner_state, backend=B
            )
        elif problem.metric is not None and min(shape) > 1:
            predicted = predictions(algo, problem.network, params, task, state=run.inner_state, backend=B)
            pictures["episode"] = episode_grid(task, predicted=predicted)
    if run.history:
        title = "query loss in training, after adaptation"
        pictures["learning"] = curves([losses_of("", [run.history])], title=title, y="query loss", log_y=True)
    if problem.metric is not None and run.evaluations:
        line = accuracy_of("", run.evaluations)
        pictures["accuracy"] = curves([line], title="accuracy on validation tasks", y="accuracy, %")
    files = [folder / f"{name}.svg" for name in pictures]
    for file, figure in zip(files, pictures.values(), strict=True):
        save(figure, file)
    return files
