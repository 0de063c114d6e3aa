"""What a call of a compiled function costs beyond what was compiled: "Calls" in docs/performance.md.

OMP_NUM_THREADS=1 taskset -c 0 python -m metaspec_benchmarks.call_overhead BACKEND

The function takes ten arrays: six parameters, and a task's four. Beside `metaspec.compile` of it stands the framework's
own program of the same operations, called in the shortest way that the framework has: of trees in JAX (`jax.jit`), else
of the ten arrays by position. The two take turns, measured by the processor time of the process, which other processes
add to by what they do to caches alone: the figures are the least of many short rounds.
"""

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.task import Task, Tree
from metaspec_benchmarks.one_backend import run
from metaspec_benchmarks.timing import garbage_left_alone

ROUNDS, CALLS = 100, 50


def updated(params: Tree, task: Task) -> Tree:
    """Compute a little with all ten arrays."""
    rate = task.support["x"][0] * task.support["y"][0] * task.query["x"][0] * task.query["y"][0]
    return {name: leaf - rate * leaf for name, leaf in params.items()}


def arguments(backend: str) -> tuple[Tree, Task]:
    """Return the parameters and a task, as arrays of the backend."""
    draw = np.random.default_rng(0)
    params = {f"{kind}{layer}": draw.normal(size=8).astype("float32") for kind in "wb" for layer in range(3)}
    halves = [{name: draw.normal(size=1).astype("float32") for name in "xy"} for _ in range(2)]
    made: tuple[Tree, Task] = ms.asarray((params, Task(*halves)), backend=backend)
    return made


def numpy_program(params: Tree, task: Task) -> Callable[[], Any]:
    """The operations themselves: a recording has nothing that is shorter."""
    return lambda: updated(params, task)


def jax_program(params: Tree, task: Task) -> Callable[[], Any]:
    """`jax.jit`."""
    import jax

    jitted = jax.jit(updated)
    return lambda: jitted(params, task)


def torch_program(params: Tree, task: Task) -> Callable[[], Any]:
    """TorchScript's recording."""
    import torch

    names = list(params)
    leaves = (*params.values(), *task.support.values(), *task.query.values())

    def flat(*leaves: Any) -> Any:
        params, (a, b, c, d) = dict(zip(names, leaves[:-4], strict=True)), leaves[-4:]
        return tuple(updated(params, Task({"x": a, "y": b}, {"x": c, "y": d})).values())

    program = torch.jit.trace(flat, leaves)
    return lambda: program(*leaves)


def tensorflow_program(params: Tree, task: Task) -> Callable[[], Any]:
    """A concrete function compiled by XLA, without the checks of its arguments."""
    import tensorflow as tf

    concrete = tf.function(updated, jit_compile=True).get_concrete_function(params, task)
    leaves = tf.nest.flatten((params, task))
    return lambda: concrete._call_flat(leaves, concrete.captured_inputs)


PROGRAMS = {"numpy": numpy_program, "jax": jax_program, "torch": torch_program, "tensorflow": tensorflow_program}


def main(backend: str, rounds: int = ROUNDS, calls: int = CALLS) -> None:
    """Print the processor time of a call of each, and what ours takes beyond: the least of all rounds."""
    params, task = arguments(backend)
    compiled = ms.compile(updated, backend=backend)
    forms: list[Callable[[], Any]] = [lambda: compiled(params, task), PROGRAMS[backend](params, task)]
    with garbage_left_alone():
        times = [[_seconds(form, calls) for form in forms] for _ in range(rounds)]
    ours, bare = (1e6 * min(column) for column in zip(*times, strict=True))
    print(f"| {backend} | {ours:.1f} | {bare:.1f} | {ours - bare:.1f} |")


def _seconds(form: Callable[[], Any], calls: int) -> float:
    form()
    start = process_time()
    for _ in range(calls):
        form()
    return (process_time() - start) / calls


if __name__ == "__main__":
    run("call_overhead", main)
