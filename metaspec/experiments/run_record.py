"""A run's folder as it is read again: its settings, figures, versions and pictures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec.experiments.config import Config
from metaspec.experiments.run_folder import METRICS, PICTURES, RUN, RunFolder
from metaspec.training.evaluation import EvaluationReport
from metaspec.training.run import Judged, StepRecord

NAN = float("nan")


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a run.

    Attributes:
        folder: Its folder.
        config: Its settings.
        versions: Of the backend and of what its numbers depend on.
        history: Its outer steps; their seconds are not kept, and NaN here.
        evaluations: Its evaluations on the way.
        results: Its figures on held-out tasks, by name; empty while it is unfinished.
        pictures: SVG files that it made, by name.
        note: Why it ended early, if it did.
    """

    folder: Path
    config: Config
    versions: Mapping[str, str]
    history: tuple[StepRecord, ...] = field(repr=False)
    evaluations: tuple[Judged, ...] = field(repr=False)
    results: Mapping[str, EvaluationReport]
    pictures: Mapping[str, str] = field(repr=False)
    note: str | None


def read(folder: Path) -> RunRecord:
    """The record of the run in a folder, finished or not.

    Raises:
        InvalidArgumentError: There is no run in it, or its figures are damaged; the message names the file.
    """
    config = RunFolder.open(folder).config
    content = json.loads((folder / RUN).read_bytes())
    history, evaluations = _metrics(folder / METRICS)
    try:
        versions = {str(name): str(version) for name, version in content.get("versions", {}).items()}
        results = {
            name: EvaluationReport.from_dict(_numbers(report)) for name, report in content.get("results", {}).items()
        }
    except (TypeError, AttributeError) as error:
        raise InvalidArgumentError(f"{folder / RUN}: its results are no figures of metaspec: {error}") from None
    pictures = {path.stem: _svg(path) for path in sorted((folder / PICTURES).glob("*.svg"))}
    return RunRecord(folder, config, versions, history, evaluations, results, pictures, content.get("diverged"))


def _svg(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")
    if "<svg" not in text:
        raise InvalidArgumentError(f"{file}: it is no SVG picture: damaged or foreign; remove it")
    return text


def _metrics(file: Path) -> tuple[tuple[StepRecord, ...], tuple[Judged, ...]]:
    history, evaluations = [], []
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    whole = text[: text.rfind("\n") + 1]  # a run that is under way, or was killed, may have half a line at the end
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            figures = _numbers(json.loads(line))
            if "evaluation" in figures:
                report = EvaluationReport.from_dict(figures["evaluation"])
                evaluations.append(Judged(figures["steps"], NAN, report))
            else:
                history.append(StepRecord(figures["step"], float(figures["query_loss"]), NAN))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgumentError(f"{file}, line {number}: it is no figure of a training: {error}") from None
    return tuple(history), tuple(evaluations)


def _numbers(figures: Any) -> Any:
    """JSON's null stands for what is not finite in an estimate; a metric that there was none of stays None."""
    if isinstance(figures, dict):
        if figures.keys() == {"mean", "half_width"}:
            return {name: NAN if value is None else value for name, value in figures.items()}
        return {name: _numbers(value) for name, value in figures.items()}
    return figures
