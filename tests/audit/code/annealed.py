"""First order for a number of calls, second order from then on, as MAML++ anneals the order of derivatives."""

from typing import Any

import metaspec as ms

calls = 0


def step(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    global calls
    calls += 1
    algorithm = ms.FOMAML if calls <= 6 else ms.MAML
    return ms.batch_meta_gradient(algorithm(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
