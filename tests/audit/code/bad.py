"""Code from which an audit gets nothing; what it says of each is in test_bad_input.py."""

import os
import sys
import time
from typing import Any

import numpy as np

CALLS = [0]


def raises(params: Any, tasks: Any) -> Any:
    return params["no such leaf"]


def hangs(params: Any, tasks: Any) -> Any:
    while True:
        time.sleep(0.01)


def leaves_at_once(params: Any, tasks: Any) -> Any:
    os._exit(3)


def exits(params: Any, tasks: Any) -> Any:
    sys.exit("enough")


def prints(params: Any, tasks: Any, loss: Any) -> Any:
    print("a line that is no message", flush=True)
    os.write(1, b"\x00\x00\x00")
    return plain_gradient(params, tasks, loss)


def returns_none(params: Any, tasks: Any) -> None:
    return


def returns_the_loss(params: Any, tasks: Any) -> float:
    return 1.5


def returns_text(params: Any, tasks: Any) -> str:
    return "done"


def fewer_leaves(params: Any, tasks: Any) -> Any:
    return list(params.values())[:2]


def other_shape(params: Any, tasks: Any) -> Any:
    return [leaf.sum(axis=0, keepdims=True) for leaf in params.values()]


def not_a_number(params: Any, tasks: Any) -> Any:
    return {name: leaf * np.nan for name, leaf in params.items()}


def integers(params: Any, tasks: Any) -> Any:
    return {name: leaf.astype(int) for name, leaf in params.items()}


def zeros(params: Any, tasks: Any) -> Any:
    return {name: 0 * leaf for name, leaf in params.items()}


def unknown_argument(params: Any, tasks: Any, temperature: float) -> Any:
    return params


def no_data(params: Any) -> Any:
    return params


def no_parameters(tasks: Any) -> Any:
    return tasks


def changes_inputs(params: Any, tasks: Any, loss: Any) -> Any:
    gradient = plain_gradient(params, tasks, loss)
    params["b1"] += 1.0
    return gradient


def counts(params: Any, tasks: Any, loss: Any) -> Any:
    CALLS[0] += 1
    return {name: CALLS[0] * leaf for name, leaf in plain_gradient(params, tasks, loss).items()}


def noise(params: Any, tasks: Any, loss: Any) -> Any:
    rng = np.random.default_rng()
    return {name: leaf + rng.normal(size=leaf.shape) for name, leaf in plain_gradient(params, tasks, loss).items()}


def plain_gradient(params: Any, tasks: Any, loss: Any) -> Any:
    import metaspec as ms

    return ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(0.1, 0)), loss, params, tasks).delta


def tells_its_folders(params, tasks):
    names = "TMPDIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"
    raise RuntimeError("told: " + ";".join(f"{name}={os.environ[name]}" for name in names))
