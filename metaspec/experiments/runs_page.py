"""A page that compares runs: settings, versions, curves with intervals, figures on held-out tasks, pictures."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec.experiments.illustration import CURVES
from metaspec.experiments.run_record import RunRecord, read
from metaspec.experiments.run_verdicts import SAME, Named, comparable, shown, state_of, verdicts
from metaspec.html import (
    Html,
    Section,
    Series,
    details,
    embedded_svg,
    h,
    line_chart,
    page,
    paragraph,
    side_by_side,
    table,
)
from metaspec.plots.learning import Curve, accuracy_of, losses_of
from metaspec.training.evaluation import Estimate, EvaluationReport


def of_runs(folders: Sequence[Path]) -> Html:
    """The page, for these runs' folders.

    Raises:
        InvalidArgumentError: No run, one run twice, or a folder without a run.
    """
    if not folders:
        raise InvalidArgumentError("report: expected at least one run")
    places = [folder.resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise InvalidArgumentError("report: a run is named twice; name each once")
    runs = dict(zip(_names(places), map(read, folders), strict=True))
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs"
    title = f"{count}: {', '.join(sorted({run.config.experiment for run in runs.values()}))}"
    sections = [
        Section("Held-out tasks", _figures(runs)),
        Section("Learning", _learning(runs)),
        Section("Settings", _settings(runs)),
    ]
    pictures = _pictures(runs)
    sections += [Section("Pictures", pictures)] if pictures else []
    about = "Figures are means over tasks; ± and the bands are 95 % intervals."
    return page(
        title, sections, lead=[*verdicts(runs), paragraph(about)], footer=", ".join(str(folder) for folder in folders)
    )


def _names(places: Sequence[Path]) -> list[str]:
    """The folders' names; with the folder above where two are the same."""
    names = [place.name for place in places]
    return [f"{p.parent.name}/{p.name}" if names.count(p.name) > 1 else p.name for p in places]


def _figures(runs: Named) -> list[Html]:
    metric = any(_metrics(run) for run in runs.values())
    rows = [
        row
        for name, run in runs.items()
        for row in (_rows(name, run, metric) or [[name, *([None] if metric else []), None, state_of(run)]])
    ]
    headings = ["run", *(["accuracy % after"] if metric else []), "loss after", "parameters"]
    headings += [*(["accuracy % before"] if metric else []), "loss before", "tasks", "algorithm", "backend"]
    width = len(headings)
    caption = "On the query sets of held-out tasks, before and after adaptation to the support set"
    return [table(headings, [row + [None] * (width - len(row)) for row in rows], caption=caption)]


def _rows(name: str, run: RunRecord, metric: bool) -> list[list[str | int | None]]:
    return [
        [
            name,
            *([_percent(report.metric_after)] if metric else []),
            shown(report.loss_after),
            which,
            *([_percent(report.metric_before)] if metric else []),
            shown(report.loss_before),
            report.tasks,
            run.config.algorithm,
            run.config.backend,
        ]
        for which, report in run.results.items()
    ]


def _metrics(run: RunRecord) -> list[EvaluationReport]:
    judged = [one.report for one in run.evaluations]
    return [report for report in (*run.results.values(), *judged) if report.metric_after is not None]


def _percent(estimate: Estimate | None) -> str | None:
    return None if estimate is None else shown(estimate.percent())


def _learning(runs: Named) -> list[Html]:
    looks = {name: number for number, name in enumerate(runs)}
    groups = comparable(runs)
    parts = [part for group in groups.values() for part in _charts(group, looks, _told_apart(groups, group))]
    if not parts:
        return [paragraph("No run has taken a step.")]
    seen = any(run.config.algorithm == "reptile" for run in runs.values())
    note = "Reptile adapts to support and query set together, so that its loss in training is one of data that it saw."
    return [*parts, *([paragraph(note, note=True)] if seen else [])]


def _told_apart(groups: Mapping[tuple[Any, ...], Named], group: Named) -> str:
    """What the runs of a group have in common and others have not; nothing where there is one group."""
    if len(groups) == 1:
        return ""
    config = next(iter(group.values())).config
    differ = [k for k, values in zip(SAME, zip(*groups, strict=True), strict=True) if len(set(values)) > 1]
    return ", ".join(f"{name} {getattr(config, name)}" for name in differ)


def _charts(runs: Named, looks: Mapping[str, int], heading: str) -> list[Html]:
    losses = [losses_of(name, [run.history]) for name, run in runs.items() if run.history]
    title = "Query loss in training, after adaptation"
    charts = [_chart(losses, looks, title, "query loss", log=True)] if losses else []
    for title, y, curve in (
        ("Loss on validation tasks, after adaptation", "query loss", _validation_loss),
        ("Accuracy on validation tasks, after adaptation", "accuracy, %", _validation_accuracy),
    ):
        lines = [line for name, run in runs.items() if (line := curve(name, run)) is not None]
        charts += [_chart(lines, looks, title, y)] if lines else []
    if not charts:
        return []
    return [*([h("h3", heading)] if heading else []), side_by_side(*charts)]


def _validation_loss(name: str, run: RunRecord) -> Curve | None:
    estimates = [judged.report.loss_after for judged in run.evaluations]
    steps = [judged.steps for judged in run.evaluations]
    return Curve(name, steps, [e.mean for e in estimates], [e.half_width for e in estimates]) if steps else None


def _validation_accuracy(name: str, run: RunRecord) -> Curve | None:
    judged = [one for one in run.evaluations if one.report.metric_after is not None]
    return accuracy_of(name, judged) if judged else None


def _chart(lines: Sequence[Curve], looks: Mapping[str, int], title: str, y: str, *, log: bool = False) -> Html:
    positive = log and all(mean > 0 for line in lines for mean in line.mean if isfinite(mean))
    series = [_series(line, positive, looks[line.label]) for line in lines]
    return line_chart(series, title=title, x="outer step", y=y, log_y=positive)


def _series(line: Curve, log: bool, look: int) -> Series:
    def band(sign: int) -> list[float]:
        ends = (m + sign * w if isfinite(w) else m for m, w in zip(line.mean, line.half_width, strict=True))
        return [max(end, m / 10) if log else end for end, m in zip(ends, line.mean, strict=True)]

    return Series(line.label, line.x, line.mean, band(-1), band(1), look)


def _settings(runs: Named) -> list[Html]:
    """What differs first, then what is common to all."""
    everything = {name: _described(run) for name, run in runs.items()}
    keys = list(dict.fromkeys(key for described in everything.values() for key in described))
    common = {key for key in keys if len({described.get(key) for described in everything.values()}) == 1}
    apart = [key for key in keys if key not in common]
    parts: list[Html] = []
    if apart:
        rows = [[key, *(described.get(key) for described in everything.values())] for key in apart]
        parts.append(table(["setting", *runs], rows, caption="What differs"))
    shared = [[key, next(iter(everything.values()))[key]] for key in keys if key in common]
    both = table(["setting", "value"], shared, caption="What all have in common" if len(runs) > 1 else None)
    return [*parts, details("What all have in common", both) if len(runs) > 1 else both]


def _described(run: RunRecord) -> dict[str, str]:
    saved = {name: str(value) for name, value in run.config.saved().items()}
    return saved | {f"version of {name}": value for name, value in run.versions.items()}


def _pictures(runs: Named) -> list[Html]:
    return [
        h("section", h("h3", f"{name}: {title}"), embedded_svg(svg))
        for name, run in runs.items()
        for title, svg in run.pictures.items()
        if title not in CURVES
    ]
