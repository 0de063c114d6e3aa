"""The outer steps of a training that a `Config` describes."""

from collections.abc import Generator

from metaspec.experiments.config import Config
from metaspec.experiments.problems import Experiment
from metaspec.experiments.setup import initial_parameters, optimizer_of, trained_algorithm
from metaspec.training import Progress, training_steps


def outer_steps(settled: Config, problem: Experiment) -> Generator[Progress, None, None]:
    """They go on without end; close the iterator to end the thread that makes tasks."""
    return training_steps(
        trained_algorithm(settled),
        problem.network.loss,
        initial_parameters(settled, problem),
        problem.train,
        optimizer_of(settled),
        tasks_per_step=settled.tasks_per_step,
        backend=settled.backend,
    )
