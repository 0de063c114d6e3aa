"""The figures of a training, sent to the services that keep experiments: Weights & Biases, MLflow.

Both are callbacks of `meta_train`, and import their library when the training starts. A training that goes on after an
interruption sends the figures of the Run that it goes on from, so that a service's run has all of them.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

from metaspec.checks.optional_libraries import optional_library
from metaspec.training.metrics import events
from metaspec.training.run import Judged, Run, StepRecord
from metaspec.training.steps import Progress

BATCH = 200  # figures that MLflow gets at once; it takes 1,000 at most


@dataclass
class WandB:
    """Callback that logs the figures of a training to a run of Weights & Biases.

    The step is the number of outer steps taken; figures are `train/query_loss` and `evaluation/...`.

    Attributes:
        project: Name of the project.
        mode: "online", "offline" (files in `folder`, which `wandb sync` sends later) or "disabled".
        folder: For the run's files; None is the library's own choice.
        config: Settings to keep with the run.

    Raises:
        LibraryMissingError: wandb is not installed.

    Example:
        >>> from metaspec import training
        >>> figures = training.WandB("maml", mode="offline")  # doctest: +SKIP
        >>> run = ms.meta_train(algo, loss, params, source, steps=100, callbacks=[figures])  # doctest: +SKIP
    """

    project: str
    mode: str = "online"
    folder: str | Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    _run: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        optional_library("wandb", "WandB", extra="wandb")

    def start(self, run: Run) -> None:
        """Open a run and log what the training has so far."""
        wandb = optional_library("wandb", "WandB", extra="wandb")
        folder = None if self.folder is None else str(self.folder)
        self._run = wandb.init(
            project=self.project, mode=self.mode, dir=folder, config=dict(self.config), reinit="create_new"
        )
        for event in events(run):
            self._log(event)

    def __call__(self, progress: Progress) -> None:
        """Log a step's figure."""
        self._log(progress.record)

    def evaluated(self, judged: Judged) -> None:
        """Log an evaluation's figures."""
        self._log(judged)

    def end(self, run: Run) -> None:
        """Close the run."""
        self._run.finish()

    def _log(self, event: StepRecord | Judged) -> None:
        step, figures = scalars(event)
        self._run.log(figures, step=step)


@dataclass
class MLflow:
    """Callback that logs the figures of a training to a run of MLflow.

    The step is the number of outer steps taken; figures are `train/query_loss` and `evaluation/...`. The library's
    active run is neither used nor changed.

    Attributes:
        experiment: Name of the experiment, made if it is not there.
        tracking_uri: A server, or a local store such as "sqlite:///mlflow.db"; None is what the library is set to.
        params: Settings to keep with the run.

    Raises:
        LibraryMissingError: MLflow is not installed.

    Example:
        >>> from metaspec import training
        >>> figures = training.MLflow("maml", tracking_uri="sqlite:///mlflow.db")  # doctest: +SKIP
        >>> run = ms.meta_train(algo, loss, params, source, steps=100, callbacks=[figures])  # doctest: +SKIP
    """

    experiment: str
    tracking_uri: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    _client: Any = field(default=None, init=False, repr=False)
    _id: str = field(default="", init=False, repr=False)
    _pending: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        optional_library("mlflow", "MLflow", extra="mlflow")

    def start(self, run: Run) -> None:
        """Open a run and log what the training has so far."""
        self._client = optional_library("mlflow", "MLflow", extra="mlflow").MlflowClient(self.tracking_uri)
        known = self._client.get_experiment_by_name(self.experiment)
        number = known.experiment_id if known is not None else self._client.create_experiment(self.experiment)
        self._id = self._client.create_run(number).info.run_id
        for name, value in self.params.items():
            self._client.log_param(self._id, name, value)
        for event in events(run):
            self._log(event)

    def __call__(self, progress: Progress) -> None:
        """Log a step's figure."""
        self._log(progress.record)

    def evaluated(self, judged: Judged) -> None:
        """Log an evaluation's figures."""
        self._log(judged)
        self._flush()

    def end(self, run: Run) -> None:
        """Send what is left and close the run."""
        self._flush()
        self._client.set_terminated(self._id)

    def _log(self, event: StepRecord | Judged) -> None:
        entities, now = import_module("mlflow.entities"), int(time.time() * 1000)
        step, figures = scalars(event)
        self._pending += [entities.Metric(name, value, now, step) for name, value in figures.items()]
        if len(self._pending) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._client.log_batch(self._id, metrics=self._pending)
        self._pending = []


def scalars(event: StepRecord | Judged) -> tuple[int, dict[str, float]]:
    """Return the steps taken and the finite figures of a step or of an evaluation, by their names in a service."""
    if isinstance(event, StepRecord):
        step, figures = event.step + 1, {"train/query_loss": event.query_loss}
    else:
        report = event.report.as_dict()
        step = event.steps
        figures = {f"evaluation/{name}": value["mean"] for name, value in report.items() if isinstance(value, dict)}
    return step, {name: float(value) for name, value in figures.items() if isfinite(value)}
