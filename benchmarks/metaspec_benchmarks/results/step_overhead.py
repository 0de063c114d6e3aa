"""What a training step costs beside its computation, and whether memory grows from step to step.

The computation: the compiled outer step on tasks that lie ready as the backend's arrays, its query loss read. The step
of a training makes tasks, converts them, reads the rate, checks and records beside that. The two take turns in one
process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

from metaspec.api import batch_meta_gradient
from metaspec.backend.arrays import asarray, computing
from metaspec.backend.registry import list_backends
from metaspec.backend.selection import get_backend
from metaspec.experiments.config import Config, effective
from metaspec.experiments.setup import algorithm_of, experiment_of, optimizer_of
from metaspec.task import Task, Tree
from metaspec.trees import all_finite
from metaspec_benchmarks.peak_memory import resident_bytes
from metaspec_benchmarks.results.store import ResultRow, Store, machine
from metaspec_benchmarks.results.stream import outer_steps

EXPERIMENTS = {"sinusoid": {}, "digits": {"queries": 5, "tasks_per_step": 8}, "omniglot": {}}
WARM, ROUNDS = 20, 15
SECONDS = 0.4  # of each round, for each of the two
EARLY = 1000  # steps after which memory is looked at first: caches are full, allocators have what they need


def run(store: Store, say: Callable[[str], None], steps: int, data: Path | None) -> None:
    """Every backend and experiment that the store does not have yet, each in a process of its own.

    Args:
        store: Of these figures.
        say: Called with each result.
        steps: Over which memory is watched.
        data: The folder with Omniglot's archives; without it that experiment is left out.
    """
    for status, experiment in product(list_backends(), EXPERIMENTS):
        if experiment == "omniglot" and data is None:
            continue
        of = {"backend": status.name, "experiment": experiment}
        if status.installed and store.find(of) is None:
            length = steps if experiment == "sinusoid" else 0
            command = [sys.executable, "-m", "metaspec_benchmarks.results.step_overhead", *of.values(), str(length)]
            command += [str(data)] if experiment == "omniglot" else []
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
            store.add(of, json.loads(done.stdout.splitlines()[-1]))
            say(f"{status.name}, {experiment}: {store.find(of)}")


def measured(backend: str, experiment: str, steps: int, data: str | None = None) -> ResultRow:
    """Both times, and, with `steps` beyond EARLY, the memory in use after EARLY steps and at the end."""
    where = {} if data is None else {"data": data}
    settled = effective({"experiment": experiment, "backend": backend, **EXPERIMENTS[experiment], **where})
    training, bare = outer_steps(settled, experiment_of(settled)), _bare(settled)
    for stream in (training, bare):
        next(islice(stream, WARM, None))
    times: dict[str, list[float]] = {"training": [], "bare": []}
    for _ in range(ROUNDS):
        for name, stream in (("training", training), ("bare", bare)):
            count, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < SECONDS or count < 2:
                next(stream)
                count += 1
            times[name].append(spent / count)
    shares = sorted(1 - b / t for b, t in zip(times["bare"], times["training"], strict=True))
    row: ResultRow = {"versions": dict(get_backend(backend).versions()), "machine": machine()}
    row |= {"step_us": round(1e6 * median(times["training"]), 1), "share": median(shares)}
    row |= {"share_quartiles": [shares[len(shares) // 4], shares[-1 - len(shares) // 4]]}
    if steps > EARLY:
        stream = outer_steps(settled, experiment_of(settled))
        next(islice(stream, EARLY - 1, None))
        early = resident_bytes()
        next(islice(stream, steps - EARLY - 1, None))
        row |= {"steps": steps, "resident_early": early, "resident_end": resident_bytes()}
    return row


def _bare(settled: Config) -> Iterator[None]:
    """The computation alone, without end, always on the same tasks."""
    B, problem, outer = get_backend(settled.backend), experiment_of(settled), optimizer_of(settled)
    algo, loss = algorithm_of(settled), problem.network.loss

    def one_step(params: Tree, state: Tree, rate: Any, tasks: Task) -> tuple[Tree, Tree, Any, Any]:
        r = batch_meta_gradient(algo, loss, params, tasks, backend=B)
        params, state = outer.update(B, params, state, r.delta, rate)
        return params, state, r.query_loss, B.xp.logical_and(B.xp.all(r.diagnostics.finite), all_finite(B, params))

    take = B.compile(one_step)
    params = asarray(problem.network.init(settled.seed), backend=B)
    tasks = asarray(problem.train.batch(0, settled.tasks_per_step), backend=B)
    with computing(B, params):
        state, rate = outer.init(B, params), B.asarray(outer.rate(0), dtype="float32")
    while True:
        with computing(B, params):
            params, state, query_loss, _ = take(params, state, rate, tasks)
            B.to_numpy(query_loss)
        yield None


def section(file: Path) -> list[str]:
    """What docs/results.md says of it."""
    rows = Store(file).rows()
    lines = [
        "| backend | experiment | a step, ms | beside its computation | memory after 1,000 steps | at the end |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        low, high = row["share_quartiles"]
        lines.append(
            f"| {row['backend']} | {row['experiment']} | {row['step_us'] / 1e3:.2f} "
            f"| {100 * row['share']:.1f} % ({100 * low:.1f}–{100 * high:.1f}) | "
            + (
                f"{row['resident_early'] / 2**20:.0f} MiB | {row['resident_end'] / 2**20:.0f} MiB, {row['steps']:,} |"
                if "steps" in row
                else "– | – |"
            )
        )
    return lines if rows else ["Not run."]


if __name__ == "__main__":
    name, kind, length, *data = sys.argv[1:]
    print(json.dumps(measured(name, kind, int(length), *data)))
