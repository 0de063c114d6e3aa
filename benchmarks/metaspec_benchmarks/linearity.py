"""Whether time is linear in inner steps, tasks and parameters: the table in docs/performance.md.

for b in numpy torch jax tensorflow; do OMP_NUM_THREADS=1 taskset -c 0 python -m metaspec_benchmarks.linearity $b; done

Cases of all sizes take turns in one process, as a machine's speed changes in the minutes between two of them.
"""

from statistics import median

from metaspec_benchmarks import ours
from metaspec_benchmarks.benchmark_cases import FULL, BenchmarkCase
from metaspec_benchmarks.frameworks import waiting
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.reference_results import truth
from metaspec_benchmarks.timing import Record, Turn, checked, garbage_left_alone, take_turns

SECONDS = 4.0


def main(backend: str, seconds: float = SECONDS) -> None:
    """Print a line for each axis of the series."""
    for axis in dict.fromkeys(case.x_axis for case in FULL if case.x_axis is not None):
        print(row(backend, axis, [case for case in FULL if case.x_axis == axis], seconds), flush=True)


def row(backend: str, axis: str, cases: list[BenchmarkCase], seconds: float) -> str:
    """Time for each unit of work at every size, over that at the last; milliseconds of a call at the last."""
    form = ours.compiled(backend, waiting(backend))
    turns = []
    for case in cases:
        record, built = Record(case.id, backend, form.name, form.kind), form.build(case)
        assert built is not None
        turns.append(Turn(record, built, checked(record, built, truth(case))))
        if record.problem is not None:
            return f"| {backend} | {axis} | {case.id}: {record.problem} | |"
    with garbage_left_alone():
        take_turns(turns, seconds)
    rounds = [turn.record.rounds for turn in turns]
    of_last = [median(a / b for a, b in zip(times, rounds[-1], strict=False)) for times in rounds]
    cells = ", ".join(
        f"{getattr(case, axis)}: {ratio * work(axis, cases[-1]) / work(axis, case):.2f}"
        for case, ratio in zip(cases, of_last, strict=True)
    )
    return f"| {backend} | {axis} | {cells} | {1e3 * median(rounds[-1]):.3g} |"


def work(axis: str, case: BenchmarkCase) -> int:
    """What time is to be proportional to: gradients, 3K on the support set and one on the query set; or the size."""
    return 3 * case.steps + 1 if axis == "steps" else int(getattr(case, axis))


if __name__ == "__main__":
    run("linearity", main)
