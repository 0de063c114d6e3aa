"""What a person with a GPU runs: `python -m metaspec_benchmarks.gpu BACKEND`, some minutes.

Prints a table: for each case, with and without TF32, the largest relative error of a leaf of the meta-gradient against
float64 on the CPU (by the NumPy backend), and the time of a compiled call, alone and over that of 3 K + 1 gradients of
all tasks. Without an accelerator the framework's CPU stands in its place, where TF32 changes nothing.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

import metaspec as ms
from metaspec_benchmarks.benchmark_cases import FULL, BenchmarkCase
from metaspec_benchmarks.frameworks import accelerator
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.reference_results import truth
from metaspec_conformance.judging.error_model import relative_error

CASES = [next(case for case in FULL if case.workload == workload) for workload in ("W1", "W2", "W3")]
REPEATS = 20


def main(backend: str, cases: Sequence[BenchmarkCase] = CASES, repeats: int = REPEATS) -> None:
    """Print the table."""
    B = ms.get_backend(backend)
    device, with_tf32 = accelerator(backend)
    print(f"{backend} {dict(B.versions())} on {device}")
    print("| case | products | error | ms | of 3 K + 1 gradients |\n| --- | --- | ---: | ---: | ---: |")
    for case in cases:
        expected = truth(case).leaves
        for name, setting in (("float32", B.precision("float32")), ("TF32", with_tf32())):
            with setting:
                print(_row(B, case, device, name, expected, repeats), flush=True)


def _row(B: ms.Backend, case: BenchmarkCase, device: Any, name: str, expected: dict[str, Any], repeats: int) -> str:
    params, tasks = ms.asarray((case.params(), case.batch()), device=device, backend=B)
    algo, loss = case.algorithm(), case.network.loss

    def delta(params: Any, tasks: Any) -> Any:
        return ms.batch_meta_gradient(algo, loss, params, tasks, backend=B).delta

    def gradient(params: Any, tasks: Any) -> Any:
        return B.vmap(lambda batch: B.grad(loss)(params, batch))(tasks.support)

    time, found = _timed(B, delta, params, tasks, repeats)
    least = (3 * case.steps + 1) * _timed(B, gradient, params, tasks, repeats)[0]
    error = max(relative_error(B.to_numpy(found[leaf]).astype("float64"), expected[leaf]) for leaf in expected)
    return f"| {case.id} | {name} | {error:.1e} | {1e3 * time:.3g} | {time / least:.2f} |"


def _timed(B: ms.Backend, f: Callable[..., Any], params: Any, tasks: Any, repeats: int) -> tuple[float, Any]:
    compiled, times = ms.compile(f, backend=B), []
    for _ in range(repeats + 1):
        start = perf_counter()
        found = compiled(params, tasks)
        for leaf in B.tree_flatten(found)[0]:
            B.to_numpy(leaf)  # waits for the device
        times.append(perf_counter() - start)
    return float(np.median(times[1:])), found


if __name__ == "__main__":
    run("gpu", main)
