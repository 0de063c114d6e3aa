"""The outer steps of a training that a `Config` describes."""

from collections.abc import Generator

from metaspec.experiments.config import Config
from metaspec.experiments.problems import Experiment
from metaspec.experiments.setup import algorithm_of, optimizer_of
from metaspec.training import Progress, training_steps


def outer_steps(settled: Config, problem: Experiment) -> Generator[Progress, None, None]:
    """They go on without end; close the iterator to end the thread that makes tasks."""
    return training_steps(
        algorithm_of(settled),
        problem.network.loss,
        problem.network.init(settled.seed, settled.dtype),
        problem.train,
        optimizer_of(settled),
        tasks_per_step=settled.tasks_per_step,
        backend=settled.backend,
    )
