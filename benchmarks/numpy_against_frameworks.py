"""MAML on the NumPy backend beside jitted JAX and a plain PyTorch loop, in one process, interleaved.

The workload: MLP 1-40-40-1 with ReLU, 25 sinusoid tasks of 10 support and 10 query points, 5 inner steps, float64. Each
form is checked to give the same meta-gradient before it is timed. Run: python benchmarks/numpy_against_frameworks.py
"""

import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

import metaspec as ms
from metaspec.data import Sinusoid

TASKS, STEPS, LR, REPETITIONS = 25, 5, 0.01, 40
SIZES = (1, 40, 40, 1)


def initial() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    params = {f"w{i}": rng.standard_normal((a, b)) / np.sqrt(a) for i, (a, b) in enumerate(pairwise(SIZES))}
    return params | {f"b{i}": np.zeros(b) for i, b in enumerate(SIZES[1:])}


def loss(params: Any, batch: Any) -> Any:
    xp = ms.array_namespace(params)
    h = batch["x"]
    for i in range(3):
        z = h @ params[f"w{i}"] + params[f"b{i}"]
        h = xp.where(z > 0, z, 0.0) if i < 2 else z
    return xp.mean((h - batch["y"]) ** 2)


def with_metaspec(name: str, compiled: bool) -> Callable[[], Any]:
    algo, B = ms.MAML(ms.GradientDescent(LR, STEPS)), ms.get_backend(name)

    def step(params: Any, tasks: Any) -> Any:
        return ms.batch_meta_gradient(algo, loss, params, tasks).delta

    call = ms.compile(step) if compiled else step
    with B.precision("float64"):
        params, tasks = ms.asarray((initial(), Sinusoid(dtype="float64").batch(0, TASKS)), backend=name)

    def run() -> dict[str, np.ndarray]:
        with B.precision("float64"):
            return {key: B.to_numpy(leaf) for key, leaf in call(params, tasks).items()}

    return run


def plain_torch() -> Callable[[], Any]:
    """The loop over tasks that most code has: autograd.grad with create_graph=True, then backward."""
    tasks = Sinusoid(dtype="float64").batch(0, TASKS)
    support, query = ({key: torch.from_numpy(leaf) for key, leaf in part.items()} for part in tasks)

    def net(p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for i in range(3):
            x = x @ p[f"w{i}"] + p[f"b{i}"]
            x = torch.relu(x) if i < 2 else x
        return ((x - y) ** 2).mean()

    def run() -> dict[str, np.ndarray]:
        params = {key: torch.from_numpy(leaf).requires_grad_() for key, leaf in initial().items()}
        total = torch.zeros((), dtype=torch.float64)
        for t in range(TASKS):
            fast = dict(params)
            for _ in range(STEPS):
                grads = torch.autograd.grad(
                    net(fast, support["x"][t], support["y"][t]), list(fast.values()), create_graph=True
                )
                fast = {key: p - LR * g for (key, p), g in zip(fast.items(), grads, strict=True)}
            total = total + net(fast, query["x"][t], query["y"][t])
        (total / TASKS).backward()
        return {key: p.grad.numpy() for key, p in params.items()}

    return run


def main() -> None:
    forms = {
        "metaspec, NumPy, compiled": with_metaspec("numpy", True),
        "metaspec, NumPy, eager": with_metaspec("numpy", False),
        "metaspec, JAX, jitted": with_metaspec("jax", True),
        "PyTorch, loop over tasks, create_graph": plain_torch(),
    }
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, PyTorch {torch.__version__},", end=" ")
    print(f"JAX {ms.get_backend('jax').versions()['jax']}")
    truth: dict[str, np.ndarray] = {}
    for name, run in forms.items():
        start = time.perf_counter()
        result = run()
        print(f"{name}: first call {time.perf_counter() - start:.2f} s")
        truth = truth or result
        for key, expected in truth.items():
            off = np.linalg.norm(result[key] - expected) / np.linalg.norm(expected)
            if not off < 1e-12:
                raise SystemExit(f"{name} disagrees in {key} by {off:.1e}: not timed")
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(REPETITIONS):
        for name, run in forms.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in times.items()}
    jax, loop = median["metaspec, JAX, jitted"], median["PyTorch, loop over tasks, create_graph"]
    print(f"\n{'form':40} {'median ms':>9} {'min':>7} {'max':>7} {'/ JAX':>6} {'loop /':>7}")
    for name, values in times.items():
        print(
            f"{name:40} {median[name] * 1e3:9.2f} {min(values) * 1e3:7.2f} {max(values) * 1e3:7.2f} "
            f"{median[name] / jax:6.2f} {loop / median[name]:7.1f}"
        )


if __name__ == "__main__":
    main()
