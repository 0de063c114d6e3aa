"""What runs came to, in a sentence: which is best of those that can be compared, and which did not end."""

from math import inf, isfinite
from typing import Any

from metaspec.experiments.run_record import RunRecord
from metaspec.html import Html, verdict
from metaspec.training.evaluation import Estimate, EvaluationReport

Named = dict[str, RunRecord]
SAME = ("experiment", "subset", "families", "noise", "ways", "shots", "queries", "steps")
"""Settings that runs on one axis have in common."""


def verdicts(runs: Named) -> list[Html]:
    """Say in a sentence for each group of comparable runs which is best on held-out tasks, and by how much."""
    said = []
    for group in comparable(runs).values():
        judged = {name: result for name, run in group.items() if (result := _result(run)) is not None}
        if not judged:
            continue
        metric = all(report.metric_after is not None for report in judged.values())
        order = sorted(judged, key=lambda name: _goal(judged[name], metric))
        best, first = order[0], judged[order[0]]
        sentence = f"{best}: {_answer(first, metric)} on {first.tasks} held-out tasks"
        for other in order[1:2]:
            near = _goal(judged[other], metric) - _goal(first, metric) < _width(first, metric) + _width(
                judged[other], metric
            )
            sentence = f"best is {sentence}; next {other}, {_answer(judged[other], metric)}"
            sentence += " (the intervals overlap)" if near else ""
        said.append(verdict(True, sentence))
    unfinished = [f"{name} is {state_of(run)}" for name, run in runs.items() if _result(run) is None]
    return [*said, *([verdict(False, "; ".join(unfinished))] if unfinished else [])]


def comparable(runs: Named) -> dict[tuple[Any, ...], Named]:
    """The runs by their data and their length: figures of others do not belong on one axis."""
    groups: dict[tuple[Any, ...], Named] = {}
    for name, run in runs.items():
        groups.setdefault(tuple(getattr(run.config, setting) for setting in SAME), {})[name] = run
    return groups


def _result(run: RunRecord) -> EvaluationReport | None:
    """What the run came to: its last evaluation of parameters on held-out tasks."""
    judged = list(run.results.values())
    return judged[-1] if judged else None


def _estimate(report: EvaluationReport, metric: bool) -> Estimate:
    return report.metric_after.percent() if metric and report.metric_after is not None else report.loss_after


def _goal(report: EvaluationReport, metric: bool) -> float:
    mean = _estimate(report, metric).mean
    return -mean if metric else mean if isfinite(mean) else inf


def _width(report: EvaluationReport, metric: bool) -> float:
    return _estimate(report, metric).half_width


def _answer(report: EvaluationReport, metric: bool) -> str:
    return f"{'accuracy' if metric else 'loss'} {shown(_estimate(report, metric))}{' %' if metric else ''}"


def state_of(run: RunRecord) -> str:
    """Return how far a run that has no results came."""
    return f"{'diverged' if run.note else 'unfinished'} after {len(run.history)} of {run.config.steps} steps"


def shown(estimate: Estimate) -> str:
    """Return a figure and its interval, on one line."""
    return str(estimate).replace(" ", "\N{NO-BREAK SPACE}")
