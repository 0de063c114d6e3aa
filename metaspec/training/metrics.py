"""The figures of a training, written as they come: JSON lines, TensorBoard.

Both are callbacks of `meta_train`. When a training goes on after an interruption, what is on disk is written anew from
the Run that it goes on from: no figure is lost and none is there twice.
"""

import json
import time
from dataclasses import dataclass, field
from io import TextIOBase
from math import isfinite
from pathlib import Path
from typing import Any

from metaspec.atomic_files import atomic_writer, checked_path, naming
from metaspec.checks.optional_libraries import optional_library
from metaspec.training.run import Judged, Run, StepRecord
from metaspec.training.steps import Progress

FLUSH = 0.5  # seconds after which a reader sees a line; on disk sooner it need not be


@dataclass
class JsonLines:
    r"""Callback that writes the figures of a training as JSON lines.

    The line is {"step": k, "query_loss": ...} for outer step number k, {"steps": n, "evaluation": {...}} after n steps.
    Nothing in it depends on the time: two runs of the same bits have the same file.

    Attributes:
        path: The file; its folder is made if it is not there.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> figures = training.JsonLines("metrics.jsonl")
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, callbacks=[figures], backend="numpy")
        >>> open("metrics.jsonl").readline()
        '{"step": 0, "query_loss": ...}\n'
    """

    path: Path
    _stream: Any = field(default=None, init=False, repr=False)
    _count: int = field(default=0, init=False, repr=False)
    _pending: list[StepRecord | Judged] = field(default_factory=list, init=False, repr=False)
    _flushed: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = checked_path(self.path, "JsonLines: path")

    def start(self, run: Run) -> None:
        """Write what the run has so far."""
        self._begun(run)
        self._stream = self.path.open("a", encoding="utf-8")  # `end` closes it

    def __call__(self, progress: Progress) -> None:
        """Add a step's line."""
        self._written(progress.record)

    def evaluated(self, judged: Judged) -> None:
        """Add an evaluation's line."""
        self._written(judged)

    def end(self, run: Run) -> None:
        """Close the file; an interrupt may have come between a step and its line."""
        try:
            self._flush()
        finally:
            with naming(self.path):
                self._stream.close()
        if self._count != len(run.history) + len(run.evaluations):
            self._begun(run)

    def _begun(self, run: Run) -> None:
        lines = [_line(event) for event in events(run)]
        with atomic_writer(self.path) as stream:
            stream.write("".join(lines).encode())
        self._count = len(lines)

    def _written(self, event: StepRecord | Judged) -> None:
        self._pending.append(event)
        self._count += 1
        if time.monotonic() - self._flushed > FLUSH:
            self._flush()

    def _flush(self) -> None:
        stream: TextIOBase = self._stream
        with naming(self.path):
            stream.write("".join(map(_line, self._pending)))
            stream.flush()
        self._pending.clear()
        self._flushed = time.monotonic()


@dataclass
class TensorBoard:
    """Callback that writes the figures of a training as TensorBoard scalars, by the library tensorboardX.

    The abscissa is the number of steps taken.

    Attributes:
        folder: For the event files; those that are there are replaced.

    Raises:
        LibraryMissingError: tensorboardX is not installed.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> import tensorboardX
        >>> figures = training.TensorBoard("events")
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, callbacks=[figures], backend="numpy")
    """

    folder: Path
    _writer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = checked_path(self.folder, "TensorBoard: folder")
        check_tensorboard()

    def start(self, run: Run) -> None:
        """Write what the run has so far."""
        from tensorboardX import SummaryWriter

        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(self.folder))
        for event in events(run):
            self._written(event)

    def __call__(self, progress: Progress) -> None:
        """Add a step's figure."""
        self._written(progress.record)

    def evaluated(self, judged: Judged) -> None:
        """Add an evaluation's figures."""
        self._written(judged)

    def end(self, run: Run) -> None:
        """Close the file."""
        self._writer.close()

    def _written(self, event: StepRecord | Judged) -> None:
        if isinstance(event, StepRecord):
            self._writer.add_scalar("train/query_loss", event.query_loss, event.step + 1)
            return
        for name, value in event.report.as_dict().items():
            if isinstance(value, dict):
                self._writer.add_scalar(f"evaluation/{name}", value["mean"], event.steps)


def check_tensorboard() -> None:
    """Whether TensorBoard's files can be written.

    Raises:
        LibraryMissingError: The library is not installed.
    """
    optional_library("tensorboardX", "TensorBoard", extra="tensorboard")


def events(run: Run) -> list[StepRecord | Judged]:
    """Return steps and evaluations in the order in which they happened."""
    merged: list[StepRecord | Judged] = [*run.history, *run.evaluations]
    return sorted(merged, key=lambda e: (e.step + 1, 0) if isinstance(e, StepRecord) else (e.steps, 1))


def _line(event: StepRecord | Judged) -> str:
    if isinstance(event, StepRecord):
        figures: dict[str, Any] = {"step": event.step, "query_loss": event.query_loss}
    else:
        figures = {"steps": event.steps, "evaluation": event.report.as_dict()}
    return json.dumps(strict(figures)) + "\n"


def strict(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: strict(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not isfinite(value) else value
