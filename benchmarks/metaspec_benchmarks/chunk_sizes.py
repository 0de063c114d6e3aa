"""How many tasks at once are best, beside what metaspec takes by itself: the table in docs/performance.md.

OMP_NUM_THREADS=1 taskset -c 0 python -m metaspec_benchmarks.chunk_sizes BACKEND
"""

from statistics import median

import metaspec as ms
from metaspec.algorithms.meta_batch import chosen_chunk
from metaspec.task import Tree
from metaspec_benchmarks import ours
from metaspec_benchmarks.benchmark_cases import CONV, FULL, SINUSOID, WIDE, BenchmarkCase
from metaspec_benchmarks.frameworks import waiting
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.reference_results import truth
from metaspec_benchmarks.timing import measure

SIZES = {SINUSOID: (1, 5, 9, 13, 25), CONV: (1, 2, 4), WIDE: (1, 2, 4, 8, 32)}
STEPS = {SINUSOID: 5, CONV: 1, WIDE: 5}
SECONDS = 1.0


def main(backend: str) -> None:
    """Print a line for each network."""
    for network, sizes in SIZES.items():
        case = next(
            case
            for case in FULL
            if (case.network, case.tasks, case.steps, case.solver_steps) == (network, sizes[-1], STEPS[network], None)
        )
        print(row(backend, case, sizes), flush=True)


def row(backend: str, case: BenchmarkCase, sizes: tuple[int, ...]) -> str:
    """Median milliseconds for each number of tasks at once; the number that the rule takes, over the best of them."""
    takes = chosen(backend, case)
    sizes = tuple(sorted({*sizes, takes}))
    forms = [ours.chunked(backend, waiting(backend), size) for size in sizes]
    records = list(measure(backend, forms, case, truth(case), SECONDS))
    failed = [f"{record.form}: {record.problem}" for record in records if record.problem is not None]
    if failed:
        return f"| {backend} | {case.id} | {'; '.join(failed)} | {takes} | |"
    rounds = [record.rounds for record in records]
    times = [median(times) for times in rounds]
    fastest = rounds[times.index(min(times))]
    over = median(a / b for a, b in zip(rounds[sizes.index(takes)], fastest, strict=False))
    cells = ", ".join(f"{size}: {1e3 * time:.3g}" for size, time in zip(sizes, times, strict=True))
    return f"| {backend} | {case.id} | {cells} | {takes} | {over:.2f} |"


def chosen(backend: str, case: BenchmarkCase) -> int:
    """How many tasks at once the rule takes in compiled code."""
    found = []

    def step(params: Tree) -> Tree:
        found.append(chosen_chunk(ms.get_backend(backend), params, case.tasks))
        return params

    ms.compile(step, backend=backend)(ms.asarray(case.params(), backend=backend))
    return found[-1]


if __name__ == "__main__":
    run("chunk_sizes", main)
