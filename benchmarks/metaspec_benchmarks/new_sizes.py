"""What each new size of a task costs a compiled function: "New sizes" in docs/performance.md.

OMP_NUM_THREADS=1 taskset -c 0 python -m metaspec_benchmarks.new_sizes BACKEND

MAML of the sinusoid network, K = 5, one task at a time, with 1 to 50 examples.
"""

from statistics import median
from time import process_time

import numpy as np

import metaspec as ms
from metaspec import nn
from metaspec.task import Array, Task, Tree
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.peak_memory import resident_bytes

SIZES, FIRST = range(1, 51), 5  # after so many the framework's own memory has settled


def sized(backend: str, size: int) -> Task:
    """Return a task with so many examples."""
    draw = np.random.default_rng(size)
    halves = [{name: draw.normal(size=(n, 1)).astype("float32") for name in "xy"} for n in (size, 10)]
    made: Task = ms.asarray(Task(*halves), backend=backend)
    return made


def main(backend: str, sizes: range = SIZES) -> None:
    """Print seconds of processor time of the first call and of each new size, MiB of each, ms of a known one."""
    net = nn.sinusoid_mlp()
    algo = ms.MAML(ms.GradientDescent(0.01, 5))

    def loss(params: Tree, batch: Tree) -> Array:
        return nn.mean_squared_error(net.apply(params, batch["x"]), batch["y"])

    compiled = ms.compile(lambda params, task: ms.meta_gradient(algo, loss, params, task).delta, backend=backend)
    params = ms.asarray(net.init(seed=0), dtype="float32", backend=backend)

    def seconds(size: int) -> float:
        task = sized(backend, size)
        start = process_time()
        compiled(params, task)
        return process_time() - start

    times, resident = [], []
    for size in sizes:
        times.append(seconds(size))
        resident.append(resident_bytes())
    each = (resident[-1] - resident[FIRST]) / (len(resident) - 1 - FIRST) / 2**20
    known = 1e3 * min(seconds(size) for size in sizes)
    print(f"| {backend} | {times[0]:.2g} | {median(times[FIRST:]):.2g} | {each:.2g} | {known:.2g} |")


if __name__ == "__main__":
    run("new_sizes", main)
