"""The small Omniglot: three kinds of task, four algorithms, several backends, so many minutes of training each.

How many outer steps the minutes give is measured before a run begins and kept with it, so that the rate's course is
known from the start; a run that was stopped goes on from its newest checkpoint when the command is given again.
"""

import json
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from metaspec.atomic_files import atomic_writer
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.errors import InvalidArgumentError, NonFiniteError
from metaspec.experiments.config import Config, effective
from metaspec.experiments.presets import Experiment
from metaspec.experiments.setup import algorithm_of, experiment_of, optimizer_of
from metaspec.training import Checkpoints, meta_test, meta_train
from metaspec_benchmarks.results.sinusoid_curves import NAMES
from metaspec_benchmarks.results.store import ResultRow, Store, machine
from metaspec_benchmarks.results.stream import outer_steps

TASKS = {"5-way 1-shot": (5, 1), "5-way 5-shot": (5, 5), "20-way 1-shot": (20, 1)}
BACKENDS = ("jax", "torch")
QUERIES = {5: 5, 20: 3}  # of each class, in meta-training
TASKS_PER_STEP = {5: 8, 20: 4}
TEST_QUERIES = 15
WARM, TIMED = 3, 20  # steps before the clock runs, and while it does
JUDGED_AFTER = (1, 2, 3, 5, 10, 25, 50)  # inner steps tried on validation tasks; the best is used on the held-out ones
# Full set, conv net, accuracy in per cent as the iMAML paper tabulates it (Rajeswaran et al. 2019, table 2).
PAPER = {
    "maml": (98.7, 99.9, 95.8),
    "fomaml": (98.3, 99.2, 89.4),
    "reptile": (97.68, 99.48, 89.43),
    "imaml": (99.16, 99.67, 94.46),
}


def run(
    store: Store,
    say: Callable[[str], None],
    data: Path,
    work: Path,
    *,
    minutes: float,
    backends: Sequence[str] = BACKENDS,
    tasks: Sequence[str] = tuple(TASKS),
    algorithms: Sequence[str] = tuple(NAMES),
    test_tasks: int = 600,
) -> None:
    """Every run that the store does not have yet.

    Args:
        store: Of the results.
        say: Told of every result.
        data: The folder with Omniglot's archives.
        work: Where unfinished runs are kept.
        minutes: Of training, for each run.
        backends: Names.
        tasks: Names out of TASKS.
        algorithms: Names.
        test_tasks: Held-out tasks; of 20-way tasks a third.
    """
    for name in tasks:
        if name not in TASKS:
            raise InvalidArgumentError(f"task: expected one of {', '.join(TASKS)}, got {name!r}")
    for backend, name, algorithm in product(backends, tasks, algorithms):
        of = {"backend": backend, "task": name, "algorithm": algorithm}
        if store.find(of) is not None:
            continue
        folder = work / f"{backend}-{name.replace(' ', '-')}-{algorithm}"
        ways, shots = TASKS[name]
        given = {"experiment": "omniglot", "data": str(data), "backend": backend, "algorithm": algorithm}
        sizes = {"ways": ways, "shots": shots, "queries": QUERIES[ways], "tasks_per_step": TASKS_PER_STEP[ways]}
        settled = effective(given | sizes | {"schedule": "cosine"})
        row = trained(settled, folder, minutes, test_tasks if ways == 5 else max(2, test_tasks // 3))
        store.add(of, row)
        say(f"{backend}, {name}, {NAMES[algorithm]}: {row}")


def trained(settled: Config, folder: Path, minutes: float, test_tasks: int) -> ResultRow:
    """The figures of one run."""
    B, problem = get_backend(settled.backend), experiment_of(settled)
    steps = _planned(settled, problem, folder, minutes)
    planned = effective(settled.saved() | {"steps": steps})
    about: ResultRow = {"steps": steps, "minutes": minutes, "versions": dict(B.versions()), "machine": machine()}
    try:
        done = meta_train(
            algorithm_of(planned),
            problem.network.loss,
            problem.network.init(planned.seed),
            problem.train,
            steps=steps,
            tasks_per_step=planned.tasks_per_step,
            optimizer=optimizer_of(planned),
            clip_norm=planned.clip_norm,
            checkpoints=Checkpoints(folder / "checkpoints", every=max(1, steps // 50), keep=2),
            backend=B,
        )
    except NonFiniteError as error:
        return about | {"diverged": str(error)}
    judged = experiment_of(effective(settled.saved() | {"queries": TEST_QUERIES}))
    counts = sorted({planned.inner_steps, *JUDGED_AFTER})
    seen = {k: _accuracy(planned, judged, B, done.params, judged.validation, k, test_tasks) for k in counts}
    best = max(counts, key=lambda k: seen[k].mean)
    found = _accuracy(planned, judged, B, done.params, judged.test, best, test_tasks)
    spent = sum(record.seconds for record in done.history) / 60
    return about | {
        "trained_minutes": round(spent, 1),
        "tasks": test_tasks,
        "inner_steps": best,
        "accuracy": found._asdict(),
        "accuracy_seen_alphabets": seen[best]._asdict(),
    }


def _accuracy(
    settled: Config, problem: Experiment, B: Backend, params: Any, source: Any, steps: int, tasks: int
) -> Any:
    algo, network = algorithm_of(settled, steps), problem.network
    report = meta_test(
        algo, network.loss, params, source, tasks=tasks, tasks_per_batch=10, metric=network.accuracy, backend=B
    )
    assert report.metric_after is not None
    return report.metric_after.percent()


def _planned(settled: Config, problem: Experiment, folder: Path, minutes: float) -> int:
    """How many outer steps the minutes give; measured once, and read again when the run goes on."""
    file = folder / "plan.json"
    if file.exists():
        plan = json.loads(file.read_bytes())
        if plan["minutes"] != minutes:
            raise InvalidArgumentError(
                f"{folder}: it is of a run of {plan['minutes']} minutes; remove it, or give that"
            )
        return int(plan["steps"])
    stream = outer_steps(settled, problem)
    for _ in range(WARM):
        next(stream)
    start = time.perf_counter()
    for _ in range(TIMED):
        next(stream)
    each = (time.perf_counter() - start) / TIMED
    stream.close()
    steps = max(1, int(minutes * 60 / each))
    with atomic_writer(file) as out:
        out.write(json.dumps({"minutes": minutes, "steps": steps}).encode())
    return steps


def section(file: Path) -> list[str]:
    """What docs/results.md says of it."""
    rows = Store(file).rows()
    backends = sorted({*BACKENDS, *(row["backend"] for row in rows)})
    lines = ["| accuracy, % | backend | " + " | ".join(TASKS) + " |", "| --- | --- |" + " --- |" * len(TASKS)]
    for algorithm in NAMES:
        for backend in backends:
            own = {r["task"]: r for r in rows if r["algorithm"] == algorithm and r["backend"] == backend}
            cells = " | ".join(_cell(own.get(name)) for name in TASKS)
            lines.append(f"| {NAMES[algorithm]} | {backend} | {cells} |")
        paper = " | ".join(map(str, PAPER[algorithm]))
        lines.append(f"| {NAMES[algorithm]}, full set | the paper's | {paper} |")
    return lines


def _cell(row: ResultRow | None) -> str:
    if row is None:
        return "not run"
    if "diverged" in row:
        return "diverged"
    accuracy, minutes = row["accuracy"], row["minutes"]
    return f"{accuracy['mean']:.1f} ± {accuracy['half_width']:.1f} ({minutes:g} min)"
