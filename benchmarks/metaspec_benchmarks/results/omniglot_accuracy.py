"""Omniglot: runs of `metaspec train` beside the papers' figures, and Lake's one-shot classification."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec.plots import Curve, curves, save
from metaspec_benchmarks.results.store import ResultRow, Store
from metaspec_benchmarks.results.trained_runs import NAMES, run_once, steps_to

TASKS = {"5-way 1-shot": (5, 1), "5-way 5-shot": (5, 5), "20-way 1-shot": (20, 1)}
# Full set, accuracy in per cent: MAML to iMAML as the iMAML paper tabulates them (Rajeswaran et al. 2019, table 2),
# MAML++ of Antoniou et al. 2019, ANIL of Raghu et al. 2020 (20-way alone).
PAPER: dict[str, tuple[float | None, ...]] = {
    "maml": (98.7, 99.9, 95.8),
    "fomaml": (98.3, 99.2, 89.4),
    "reptile": (97.68, 99.48, 89.43),
    "imaml": (99.16, 99.67, 94.46),
    "anil": (None, None, 96.2),
    "mamlpp": (99.47, 99.85, 97.65),
}
# 20-way one-shot classification within an alphabet, error in per cent (Lake, Salakhutdinov, Tenenbaum, "The Omniglot
# challenge: a 3-year progress report", 2019, of learners that saw the background set alone).
LAKE = {
    "people": 4.5,
    "Bayesian program learning": 3.3,
    "recursive cortical network": 7.3,
    "prototypical network": 13.7,
    "variational homoencoder": 18.7,
}


def run(
    store: Store,
    say: Callable[[str], None],
    work: Path,
    given: dict[str, Any],
    *,
    backends: Sequence[str],
    tasks: Sequence[str],
    algorithms: Sequence[str],
    seeds: Sequence[int],
    test_tasks: int,
) -> None:
    """Every run that the store does not have yet.

    Args:
        store: Of the results.
        say: Called with each result.
        work: Where unfinished runs are kept; a run that was stopped goes on from its newest checkpoint.
        given: Settings of all runs, such as subset and data.
        backends: Names.
        tasks: Names out of TASKS.
        algorithms: Names.
        seeds: Numbers.
        test_tasks: Held-out tasks of the final figures.
    """
    for name in tasks:
        if name not in TASKS:
            raise InvalidArgumentError(f"task: expected one of {', '.join(TASKS)}, got {name!r}")
    for seed, name, algorithm, backend in product(seeds, tasks, algorithms, backends):
        ways, shots = TASKS[name]
        own = {"backend": backend, "algorithm": algorithm, "ways": ways, "shots": shots, "seed": seed}
        run_once(store, say, {"experiment": "omniglot"} | given | own, work, test_tasks)


def section(file: Path) -> list[str]:
    """The table of docs/results.md, and the commands of its rows."""
    rows = [row for row in Store(file).rows() if row["experiment"] == "omniglot" and row["subset"] == "full"]
    lines = [
        "| tasks | algorithm | backend, seed | accuracy, % | the paper's | outer steps | error halves in "
        "| to the paper's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for place, (task, sizes) in enumerate(TASKS.items()):
        for algorithm, name in NAMES.items():
            own = [r for r in rows if (r["ways"], r["shots"]) == sizes and r["algorithm"] == algorithm]
            paper = PAPER[algorithm][place]
            shown = "–" if paper is None else f"{paper:g}"
            if not own:
                lines.append(f"| {task} | {name} | – | not run | {shown} | – | – | – |")
            lines += [_line(task, name, row, paper, shown) for row in own]
    return [*lines, "", *_commands(rows)]


def _line(task: str, name: str, row: ResultRow, paper: float | None, shown: str) -> str:
    start = f"| {task} | {name} | {row['backend']}, {row['seed']} |"
    if "diverged" in row:
        return f"{start} diverged | {shown} | – | – | – |"
    taken, planned = row["steps_taken"], row["steps"]
    steps = f"{taken:,}" if taken == planned else f"{taken:,} of {planned:,}"
    steps += f", {row['minutes']:.0f} min"
    mean, half = row["trained"]
    last = steps_to(row["curve"], 100 - (100 - row["curve"][-1][1]) / 2)
    halves = "–" if last is None or not last[1] else f"{last[0] / taken:.1f} times the steps"
    return f"{start} {mean:.1f} ± {half:.1f} | {shown} | {steps} | {halves} | {reach(row, paper)} |"


def reach(row: ResultRow, accuracy: float | None) -> str:
    """Return after how many steps a run had an accuracy, or would have."""
    found = None if accuracy is None else steps_to(row["curve"], accuracy)
    if found is None:
        return "–"
    steps, extrapolated = found
    return f"~{float(f'{steps:.1g}'):,.0f} steps, extrapolated" if extrapolated else f"{steps:,.0f} steps"


def _commands(rows: Sequence[ResultRow]) -> list[str]:
    return ["```", *sorted(row["command"] for row in rows), "```"] if rows else []


def lake_section(file: Path) -> list[str]:
    """The table of classification within an alphabet."""
    rows = [row for row in Store(file).rows() if row["subset"] == "lake"]
    lines = ["| 20-way one-shot, within an alphabet | error, % | episodes |", "| --- | --- | --- |"]
    for row in rows:
        mean, half = row["trained"]
        steps = f"{row['steps_taken']:,} outer steps, {row['backend']}, seed {row['seed']}"
        lines.append(f"| {NAMES[row['algorithm']]}, {steps} | {100 - mean:.1f} ± {half:.1f} | {row['tasks']:,} |")
    if not rows:
        lines.append("| MAML | not run | – |")
    else:
        lines.append(f"| nearest picture by its pixels | {100 - rows[0]['baseline']:.1f} | {rows[0]['tasks']:,} |")
    lines += [f"| {name}, the report's | {error:g} | 20 |" for name, error in LAKE.items()]
    return [*lines, "", *_commands(rows)]


def draw(file: Path, folder: Path) -> None:
    """The curves of each kind of task, as SVG files; nothing where there is nothing."""
    for task, sizes in TASKS.items():
        rows = [row for row in Store(file).rows() if row["subset"] == "full" and "curve" in row]
        lines = [
            Curve(f"{NAMES[row['algorithm']]}, {row['backend']}, {row['seed']}", *zip(*row["curve"], strict=True))
            for row in rows
            if (row["ways"], row["shots"]) == sizes
        ]
        if lines:
            figure = curves(lines, title=f"Omniglot, {task}: held-out characters", y="accuracy, %")
            save(figure, folder / f"omniglot-{task.replace(' ', '-')}.svg")
