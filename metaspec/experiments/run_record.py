"""A run's folder as it is read again: its settings, figures, versions and pictures."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec.experiments.config import Config
from metaspec.experiments.run_folder import METRICS, PICTURES, RUN, RunFolder, run_description
from metaspec.html import embedded_svg
from metaspec.reading import parsed_json, read_regular
from metaspec.training.evaluation import EvaluationReport, read_number
from metaspec.training.run import Judged, StepRecord

NAN = float("nan")
LARGEST_PICTURE, LARGEST_METRICS = 2**26, 2**30  # bytes
LARGEST_STEP = 2**53


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
    config, content = RunFolder.open(folder).config, run_description(folder)
    history, evaluations = _metrics(folder / METRICS)
    versions, results, note = (content.get(name) for name in ("versions", "results", "diverged"))
    try:
        if not all(isinstance(part, dict | None) for part in (versions, results)) or not isinstance(note, str | None):
            raise ValueError("expected objects as versions and results, and text as diverged")
        reports = {name: EvaluationReport.from_dict(_numbers(report)) for name, report in (results or {}).items()}
    except ValueError as error:
        raise InvalidArgumentError(f"{folder / RUN}: its results are no figures of metaspec: {error}") from None
    named = {name: str(version) for name, version in (versions or {}).items()}
    pictures = {path.stem: _svg(path) for path in sorted((folder / PICTURES).glob("*.svg"))}
    return RunRecord(folder, config, named, history, evaluations, reports, pictures, note)


def _svg(file: Path) -> str:
    text = _text(file, LARGEST_PICTURE)
    try:
        embedded_svg(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{file}: it is no SVG picture of metaspec: {error}; remove it") from None
    return text


def _text(file: Path, limit: int) -> str:
    try:
        return read_regular(file, limit).decode("utf-8", errors="replace")
    except OSError as error:
        raise InvalidArgumentError(f"{file}: it cannot be read: {error.strerror}") from None


def _metrics(file: Path) -> tuple[tuple[StepRecord, ...], tuple[Judged, ...]]:
    history: list[StepRecord] = []
    evaluations: list[Judged] = []
    text = _text(file, LARGEST_METRICS) if os.path.lexists(file) else ""
    whole = text[: text.rfind("\n") + 1]  # a run that is under way, or was killed, may have half a line at the end
    for number, line in enumerate(whole.split("\n")[:-1], start=1):
        try:
            figures = parsed_json(line.encode())
            if not isinstance(figures, dict):
                raise ValueError("expected an object")
            if "evaluation" in figures:
                steps = _index(figures, "steps", evaluations[-1].steps if evaluations else 0)
                evaluations.append(Judged(steps, NAN, EvaluationReport.from_dict(_numbers(figures["evaluation"]))))
            else:
                step = _index(figures, "step", history[-1].step + 1 if history else 0)
                history.append(StepRecord(step, read_number(figures.get("query_loss"), "query_loss"), NAN))
        except ValueError as error:
            raise InvalidArgumentError(f"{file}, line {number}: it is no figure of a training: {error}") from None
    return tuple(history), tuple(evaluations)


def _index(figures: Mapping[str, Any], name: str, least: int) -> int:
    """A number of steps; they only grow from line to line."""
    value = figures.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < LARGEST_STEP:
        raise ValueError(f"{name}: expected an integer >= {least}, got {value!r:.50}")
    return value


def _numbers(figures: Any) -> Any:
    """JSON's null stands for what is not finite in an estimate; a metric that there was none of stays None."""
    if isinstance(figures, dict):
        if figures.keys() == {"mean", "half_width"}:
            return {name: NAN if value is None else value for name, value in figures.items()}
        return {name: _numbers(value) for name, value in figures.items()}
    return figures
