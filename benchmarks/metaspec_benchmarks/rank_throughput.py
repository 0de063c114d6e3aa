"""Steps of a training by one process and by two, with a core each: the measurements in docs/scale.md.

python -m metaspec_benchmarks.rank_throughput BACKEND [ROUNDS]

One process and two take turns, ROUNDS (3) times, each started anew and pinned to a core with one thread. Printed is,
for each workload: milliseconds of a step by the clock and by the processor, those of the reduction apart, and the
throughput of two processes over that of one. By the clock it is right on a machine without other work alone. By the
processor it is c / (c_2 + R): c and c_2 what a step takes without its reduction, R the shortest reductions, in which no
rank waits for another. NumPy and JAX are started by mpiexec, PyTorch by torchrun, TensorFlow by TF_CONFIG.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.errors import MetaspecError
from metaspec.ranks import RankGroup, together
from metaspec.task import Task, Tree
from metaspec_benchmarks.benchmark_cases import FULL, BenchmarkCase

CASES = {"W2": (next(case for case in FULL if case.workload == "W2"), 30)}
CASES["W1"] = next(case for case in FULL if (case.workload, case.tasks, case.steps) == ("W1", 25, 5)), 300
ENGINE_RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "BENCHMARK_RANK")
Figures = dict[str, dict[str, float]]


class Repeated:
    """A task source that gives the tasks of a case again and again, and notes when it is asked for them."""

    def __init__(self, case: BenchmarkCase) -> None:
        self._tasks, self._count = case.batch(), case.tasks
        self.asked: list[tuple[float, float]] = []

    def _of(self, indices: Any) -> Task:
        def rows(part: Tree) -> Tree:
            return {name: leaf[indices] for name, leaf in part.items()}

        return Task(*map(rows, self._tasks))

    def task(self, index: int) -> Task:
        """Return one task."""
        return self._of(index % self._count)

    def batch(self, step: int, size: int) -> Task:
        """Return the tasks of a step."""
        self.asked.append((perf_counter(), process_time()))
        return self._of(np.arange(step * size, (step + 1) * size) % self._count)


def rank(backend: str, file: Path) -> None:
    """Train as one of the processes that the engine has started, and write the figures to the file, with the rank."""
    index = int(next((os.environ[name] for name in ENGINE_RANK if name in os.environ), 0))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    reductions: list[tuple[float, float]] = []
    reduce = RankGroup.all_reduce

    def timed(self: RankGroup, tree: Tree, op: str = "sum") -> Tree:
        before = perf_counter(), process_time()
        result = reduce(self, tree, op)
        reductions.append((perf_counter() - before[0], process_time() - before[1]))
        return result

    RankGroup.all_reduce = timed  # type: ignore[method-assign]
    B, found = ms.get_backend(backend), {}
    with B.joined(120), together(B) as ranks:
        for name, (case, steps) in CASES.items():
            source = Repeated(case)
            ms.meta_train(
                case.algorithm(), case.network.loss, case.params(), source, steps=steps + 5, tasks_per_step=case.tasks,
                optimizer=ms.training.SGD(1e-4), check=False, prefetch=0, backend=B,
            )  # fmt: skip
            found[name] = _figures(source.asked[-steps:], reductions[-steps:] if ranks.count > 1 else [])
            reductions.clear()
        file.with_suffix(f".{ranks.index}").write_text(json.dumps(found))


def _figures(asked: list[tuple[float, float]], reductions: list[tuple[float, float]]) -> dict[str, float]:
    """Medians of a step, of its reduction, and the shortest tenth of reductions, in seconds."""
    wall, cpu = (np.diff(column) for column in zip(*asked, strict=True))
    waited, busy = (list(column) for column in zip(*(reductions or [(0.0, 0.0)] * 2), strict=True))
    own = float(np.mean(cpu)) - float(np.mean(busy))  # means: a reduction's share of a step is not known step by step
    shortest = quantiles(waited, n=10)[0]
    return {"wall": median(wall), "own": own, "waited": median(waited), "busy": median(busy), "shortest": shortest}


def measured(backend: str, processes: int) -> list[Figures]:
    """Start the processes and return the figures of each."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "figures"
        own = [sys.executable, "-m", "metaspec_benchmarks.rank_throughput", backend, str(file), "rank"]
        threads = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environments: list[dict[str, str]] = [threads]
        if processes > 1 and backend == "torch":
            launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
            own = [*launcher, *own[1:]]
        elif processes > 1 and backend == "tensorflow":
            workers = [f"127.0.0.1:{_free_port()}" for _ in range(processes)]
            tasks = [{"type": "worker", "index": index} for index in range(processes)]
            clusters = [json.dumps({"cluster": {"worker": workers}, "task": task}) for task in tasks]
            environments = [
                threads | {"BENCHMARK_RANK": str(index), "TF_CONFIG": cluster} for index, cluster in enumerate(clusters)
            ]
        elif processes > 1:
            own = [shutil.which("mpiexec") or "mpiexec", "-n", str(processes), *own]
        started = [subprocess.Popen(own, env=os.environ | more, stdout=subprocess.DEVNULL) for more in environments]
        try:
            if any(process.wait() for process in started):
                sys.exit(f"{' '.join(own)} has failed")
        finally:
            for process in started:
                process.terminate()
        return [json.loads(path.read_text()) for path in sorted(Path(folder).iterdir())]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main(backend: str, rounds: int = 3) -> None:
    """Print a line for each workload."""
    ms.get_backend(backend)
    turns = [(measured(backend, 1), measured(backend, 2)) for _ in range(rounds)]
    print(
        "| backend | workload | one: clock, processor | two: clock, processor | reduction: shortest, median, processor "
        "| throughput: clock, processor |\n| --- | --- | ---: | ---: | ---: | ---: |"
    )
    for name, (case, _) in CASES.items():
        one = {key: median(a[0][name][key] for a, _ in turns) for key in turns[0][0][0][name]}
        two = {key: median(max(r[name][key] for r in b) for _, b in turns) for key in one}
        cells = [f"{1e3 * one['wall']:.2f}, {1e3 * one['own']:.2f}", f"{1e3 * two['wall']:.2f}, {1e3 * two['own']:.2f}"]
        cells.append(", ".join(f"{1e3 * two[key]:.2f}" for key in ("shortest", "waited", "busy")))
        by_processor = one["own"] / (two["own"] + two["shortest"])
        print(f"| {backend} | {case.id} | {' | '.join(cells)} | {one['wall'] / two['wall']:.2f}, {by_processor:.2f} |")


if __name__ == "__main__":
    try:
        if sys.argv[3:] == ["rank"]:
            rank(sys.argv[1], Path(sys.argv[2]))
        else:
            main(sys.argv[1], *map(int, sys.argv[2:]))
    except MetaspecError as error:
        sys.exit(f"error: {error}")
