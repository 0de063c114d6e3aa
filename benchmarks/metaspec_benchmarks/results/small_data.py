"""Digits, time series and a table: the presets of `metaspec train` beside what needs no meta-learning."""

from collections.abc import Callable, Sequence
from pathlib import Path

from metaspec_benchmarks.results.store import Store
from metaspec_benchmarks.results.trained_runs import NAMES, run_once

EXPERIMENTS = {
    "digits": "digits, accuracy, %",
    "mnist1d": "MNIST-1D time series, accuracy, %",
    "table": "columns of a table, mean squared error",
}


def run(store: Store, say: Callable[[str], None], work: Path, algorithms: Sequence[str], seed: int, tasks: int) -> None:
    """Every run that the store does not have yet."""
    for experiment in EXPERIMENTS:
        for algorithm in algorithms:
            given = {"experiment": experiment, "algorithm": algorithm, "seed": seed, "backend": "numpy"}
            run_once(store, say, given, work, tasks)


def section(file: Path) -> list[str]:
    """What docs/results.md says of it."""
    lines = [
        "| data | algorithm | untrained, adapted | trained, adapted | without meta-learning | outer steps |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [row for row in Store(file).rows() if row["experiment"] in EXPERIMENTS and "trained" in row]
    for row in rows:
        before, after = (f"{row[name][0]:.3g} ± {row[name][1]:.1g}" for name in ("untrained", "trained"))
        lines.append(
            f"| {EXPERIMENTS[row['experiment']]} | {NAMES[row['algorithm']]} | {before} | {after} "
            f"| {row['baseline']:.3g} | {row['steps_taken']:,} |"
        )
    return [*lines, "", "```", *(row["command"] for row in rows), "```"] if rows else ["Not run."]
