"""What members of the family take beside plain descent: the table in docs/family.md.

OMP_NUM_THREADS=1 taskset -c 0 python -m metaspec_benchmarks.family_times BACKEND

All forms of a case take turns in one process; a figure is the median over the rounds of a form's time over that of
plain descent.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import metaspec as ms
from metaspec.task import Task, Tree
from metaspec_benchmarks.benchmark_cases import CONV, FULL, WIDE, BenchmarkCase
from metaspec_benchmarks.frameworks import waiting
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.timed_forms import Built
from metaspec_benchmarks.timing import Record, Turn, garbage_left_alone, take_turns

SECONDS = 4.0
HEAD = {CONV: ("w", "b"), WIDE: ("w3", "b3")}


def main(backend: str, seconds: float = SECONDS) -> None:
    """Print a line for W2 with one step and with five, and one for W3."""
    for case in FULL:
        if case.workload in ("W2", "W3"):
            print(row(backend, case, seconds), flush=True)


def row(backend: str, case: BenchmarkCase, seconds: float) -> str:
    """Return milliseconds of plain descent, and each other form's time over it."""
    turns = [_turn(backend, case, name, run_it) for name, run_it in _forms(backend, case)]
    with garbage_left_alone():
        take_turns(turns, seconds)
    plain, *others = [turn.record for turn in turns]
    cells = [f"{o.form} {median(a / b for a, b in zip(o.rounds, plain.rounds, strict=False)):.2f}" for o in others]
    return f"| {backend} | {case.id} | {1e3 * median(plain.rounds):.3g} ms | {', '.join(cells)} |"


def members(case: BenchmarkCase) -> dict[str, ms.MAML]:
    """Return plain descent first, then the members whose cost is of interest."""
    lr, K = case.lr, case.steps
    return {
        "descent": ms.MAML(ms.GradientDescent(lr, K)),
        "Momentum": ms.MAML(ms.Momentum(lr, K)),
        "Adam": ms.MAML(ms.Adam(lr / 10, K)),
        "Meta-SGD": ms.MetaSGD(lr, K),
        "ANIL": ms.ANIL(ms.GradientDescent(lr, K), HEAD[case.network]),
    }


def _forms(backend: str, case: BenchmarkCase) -> Iterator[tuple[str, Callable[[], Any]]]:
    wait = waiting(backend)
    params, tasks = ms.asarray((case.params(), case.batch()), backend=backend)
    for name, algo in members(case).items():
        meta, step = algo.init(params, backend=backend), ms.compile(_step(algo, case.network.loss), backend=backend)
        yield name, partial(lambda step, meta: wait(step(meta, tasks)), step, meta)
    if backend == "torch":
        from metaspec_benchmarks.baselines.torch_baselines import torchopt_members

        yield from torchopt_members(case)


def _step(algo: Any, loss: Callable[[Tree, Tree], Any]) -> Callable[[Tree, Task], Any]:
    def step(meta: Tree, tasks: Task) -> Any:
        r = ms.batch_meta_gradient(algo, loss, meta, tasks)
        return r.delta, r.query_loss

    return step


def _turn(backend: str, case: BenchmarkCase, name: str, call: Callable[[], Any]) -> Turn:
    call()
    start = perf_counter()
    call()
    return Turn(Record(case.id, backend, name, "metaspec"), Built(call, None), perf_counter() - start)


if __name__ == "__main__":
    run("family_times", main)
