"""Minutes to an accuracy: the outer steps that a run needed, times what a step takes on one processor.

Steps are timed in a process of its own for each backend, held to one processor, in processor time, which other work on
the machine changes little. The libraries' loops compute the meta-gradient of the same network and tasks alone, without
making tasks or moving parameters, so their times are lower bounds.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from metaspec.backend.selection import get_backend
from metaspec.experiments.config import effective
from metaspec.experiments.setup import experiment_of
from metaspec.task import Task
from metaspec_benchmarks.benchmark_cases import BenchmarkCase
from metaspec_benchmarks.results.store import ResultRow, Store, machine
from metaspec_benchmarks.results.stream import outer_steps
from metaspec_benchmarks.results.trained_runs import NAMES, steps_to

ACCURACIES = (95, 97, 98)
LIBRARIES = ("higher", "torchopt")
BACKENDS = ("jax", "torch")
WARM, TIMED = 2, 5  # steps
ROUNDS = 3


@dataclass(frozen=True)
class OmniglotCase(BenchmarkCase):
    """A training's first batch of tasks, for the libraries' loops.

    Attributes:
        tasks_at_hand: The batch.
    """

    tasks_at_hand: Any = None

    def batch(self, dtype: str = "float32") -> Task:
        """The batch itself, in the format that it has."""
        return self.tasks_at_hand


def run(store: Store, say: Callable[[str], None], runs: Store, data: str) -> None:
    """Time every algorithm that has a run of 5-way 1-shot tasks of the full set, on two backends and by two libraries.

    Args:
        store: Of the times.
        say: Called with each result.
        runs: The runs.
        data: The folder with Omniglot.
    """
    for algorithm in dict.fromkeys(row["algorithm"] for row in _timed_rows(runs)):
        for form in (*BACKENDS, *(LIBRARIES if algorithm == "maml" else ())):
            of = {"algorithm": algorithm, "form": form}
            if store.find(of) is None:
                command = [sys.executable, "-m", "metaspec_benchmarks.results.time_to_accuracy", algorithm, form, data]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
                store.add(of, json.loads(done.stdout.splitlines()[-1]))
                say(f"{algorithm}, {form}: {store.find(of)}")


def measured(algorithm: str, form: str, data: str) -> ResultRow:
    """Return the processor milliseconds of an outer step, the median of several rounds."""
    given = {"experiment": "omniglot", "subset": "full", "data": data, "algorithm": algorithm}
    backend = form if form in BACKENDS else "torch"
    settled = effective(given | {"backend": backend})
    problem = experiment_of(settled)
    if form in BACKENDS:
        stream = outer_steps(settled, problem)

        def step() -> Any:
            return next(stream)
    else:
        from metaspec_benchmarks.baselines.torch_baselines import forms

        batch = problem.train.batch(0, settled.tasks_per_step)
        sizes = settled.tasks_per_step, settled.inner_steps, settled.inner_lr
        case = OmniglotCase("omniglot", problem.network, *sizes, tasks_at_hand=batch)
        built = next(one for one in forms() if one.name.startswith(form)).build(case)
        assert built is not None
        step = built.run
    for _ in range(WARM):
        step()
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(TIMED):
            step()
        rounds.append(1e3 * (time.process_time() - start) / TIMED)
    return {"ms": round(median(rounds), 1), "versions": dict(get_backend(backend).versions()), "machine": machine()}


def section(file: Path, runs: Path) -> list[str]:
    """What docs/results.md says of it."""
    heads = " | ".join(f"to {accuracy} %" for accuracy in ACCURACIES)
    lines = [
        f"| 5-way 1-shot | computed by | a step, ms | {heads} |",
        "| --- | --- | ---: |" + " ---: |" * len(ACCURACIES),
    ]
    times = Store(file).rows()
    for row in _timed_rows(Store(runs)):
        for timed in (timed for timed in times if timed["algorithm"] == row["algorithm"]):
            cells = " | ".join(_minutes(row, timed["ms"], accuracy) for accuracy in ACCURACIES)
            whose = timed["form"] if timed["form"] in BACKENDS else f"{timed['form']}, a loop"
            lines.append(f"| {NAMES[row['algorithm']]} | {whose} | {timed['ms']:.0f} | {cells} |")
    return lines if times else ["Not run."]


def _timed_rows(runs: Store) -> list[ResultRow]:
    """The first run of each algorithm on 5-way 1-shot tasks of the full set, by the preset."""
    found: dict[str, ResultRow] = {}
    for row in runs.rows():
        kind = row["experiment"], row["subset"], row["ways"], row["shots"], row["paper"]
        if kind == ("omniglot", "full", 5, 1, None) and "curve" in row:
            found.setdefault(row["algorithm"], row)
    return list(found.values())


def _minutes(row: ResultRow, ms: float, accuracy: float) -> str:
    found = steps_to(row["curve"], accuracy)
    if found is None:
        return "–"
    steps, extrapolated = found
    minutes = steps * ms / 60_000
    return f"(~{float(f'{minutes:.2g}'):g} min)" if extrapolated else f"{minutes:.1f} min"


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(measured(*sys.argv[1:])))
