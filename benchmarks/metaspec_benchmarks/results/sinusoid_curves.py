"""Sinusoids: the four algorithms, query loss after 0, 1 and 10 inner steps, several seeds."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from metaspec.backend.selection import get_backend
from metaspec.errors import NonFiniteError
from metaspec.experiments.config import effective
from metaspec.experiments.setup import algorithm_of, experiment_of, optimizer_of
from metaspec.training import meta_test, meta_train
from metaspec_benchmarks.results.store import ResultRow, Store, machine

STEPS = (0, 1, 10)
TEST_TASKS = 600
NAMES = {"maml": "MAML", "fomaml": "FO-MAML", "reptile": "Reptile", "imaml": "iMAML"}
# The papers' settings run again for this project, one seed each; the papers show curves alone.
PAPERS = {"maml": (2.97, 0.35, 0.15), "fomaml": (3.33, 0.41, 0.11), "reptile": (2.95, 0.45, 0.13)}


def run(store: Store, say: Callable[[str], None], seeds: Sequence[int], steps: int | None = None) -> None:
    """Every run that the store does not have yet."""
    for algorithm in NAMES:
        for seed in seeds:
            of = {"algorithm": algorithm, "seed": seed}
            if store.find(of) is None:
                store.add(of, trained(algorithm, seed, steps))
                say(f"{NAMES[algorithm]}, seed {seed}: {store.find(of)}")


def trained(algorithm: str, seed: int, steps: int | None = None) -> ResultRow:
    """The figures of one run of the preset on NumPy."""
    more = {} if steps is None else {"steps": steps}
    settled = effective({"experiment": "sinusoid", "algorithm": algorithm, "seed": seed, **more})
    problem, B = experiment_of(settled), get_backend("numpy")
    start = time.process_time()
    about: ResultRow = {"steps": settled.steps, "versions": dict(B.versions()), "machine": machine()}
    try:
        done = meta_train(
            algorithm_of(settled),
            problem.network.loss,
            problem.network.init(seed),
            problem.train,
            steps=settled.steps,
            tasks_per_step=settled.tasks_per_step,
            optimizer=optimizer_of(settled),
            clip_norm=settled.clip_norm,
            backend=B,
        )
    except NonFiniteError as error:
        return about | {"diverged": str(error)}
    seconds = time.process_time() - start
    reports = {
        k: meta_test(
            algorithm_of(settled, k), problem.network.loss, done.params, problem.test, tasks=TEST_TASKS, backend=B
        )
        for k in STEPS
    }
    figures = {str(k): report.loss_after._asdict() for k, report in reports.items()}
    return about | {"cpu_seconds": round(seconds, 1), "tasks": TEST_TASKS, "mse": figures}


def section(file: Path) -> list[str]:
    """What docs/results.md says of it."""
    rows = Store(file).rows()
    lines = [
        "| 10-shot mean squared error | 0 steps | 1 step | 10 steps | papers' settings: 0, 1, 10 | seeds | outer steps "
        "| CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for algorithm in NAMES:
        own = [row for row in rows if row["algorithm"] == algorithm and "mse" in row]
        papers = " / ".join(map(str, PAPERS[algorithm])) if algorithm in PAPERS else "–"
        if not own:
            lines.append(f"| {NAMES[algorithm]} | not run | not run | not run | {papers} | – | – | – |")
            continue
        cells = [_over_seeds([row["mse"][str(k)]["mean"] for row in own]) for k in STEPS]
        seconds = median(row["cpu_seconds"] for row in own)
        failed = sum(row["algorithm"] == algorithm and "diverged" in row for row in rows)
        seeds = f"{len(own)}" + (f", {failed} diverged" if failed else "")
        lines.append(
            f"| {NAMES[algorithm]} | {' | '.join(cells)} | {papers} | {seeds} | {own[0]['steps']:,} | {seconds:.0f} |"
        )
    return lines


def _over_seeds(values: Sequence[Any]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
