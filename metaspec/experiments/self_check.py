"""A small check of one backend in a process of its own: `python -m metaspec.experiments.self_check BACKEND`.

It prints one line of JSON: the devices, and how far the meta-gradients of MAML are from the closed form.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import metaspec as ms

RATE, STEPS = 0.3, 3
LIMIT = 1e-5  # of float32: a few roundoffs of numbers near 1
TIMEOUT = 300.0


@dataclass(frozen=True)
class SelfCheck:
    """What the process of one backend said.

    Attributes:
        devices: Their names.
        error: The largest difference from the closed form, None where there is none.
        seconds: From start to end, the framework's import included.
        problem: What went wrong; empty where nothing did.
    """

    devices: tuple[str, ...]
    error: float | None
    seconds: float
    problem: str = ""


def self_check(name: str) -> SelfCheck:
    """Check an installed backend in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-m", __spec__.name, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return SelfCheck((), None, TIMEOUT, f"no answer within {TIMEOUT:g} s")
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return SelfCheck((), None, seconds, said[-1])
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = "" if found["error"] < LIMIT else f"the meta-gradient is off by {found['error']:.1e}"
    return SelfCheck(tuple(found["devices"]), found["error"], seconds, wrong)


def measured(name: str) -> dict[str, Any]:
    """Return the devices of a backend, and the error of MAML on l(w; b) = |w - b|^2 / 2, called and compiled.

    There theta_K = s + (1 - a)^K (w - s) for the support's s, and Delta = (1 - a)^K (theta_K - q) for the query's q.
    """
    B = ms.get_backend(name)

    def loss(params: Any, batch: Any) -> Any:
        return 0.5 * B.xp.sum((params["w"] - batch) ** 2)

    def tree(values: Any) -> Any:
        return ms.asarray(values, dtype="float32", backend=B)

    starts, supports, queries = [1.0, -2.0, 0.5], [0.0, 1.0, 3.0], [2.0, 0.0, -1.0]
    algo, left = ms.MAML(ms.GradientDescent(RATE, STEPS)), (1 - RATE) ** STEPS
    wanted = [left * (s + left * (w - s) - q) for w, s, q in zip(starts, supports, queries, strict=True)]

    def step(params: Any, task: Any) -> Any:
        return ms.meta_gradient(algo, loss, params, task, backend=B).delta

    given = {"w": tree(np.array(starts))}, ms.Task(tree(np.array(supports)), tree(np.array(queries)))
    found = [B.to_numpy(f(*given)["w"]) for f in (step, ms.compile(step, backend=B))]
    error = max(float(abs(delta - np.array(wanted)).max()) for delta in found)
    return {"devices": list(B.devices()), "error": error}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1])))
