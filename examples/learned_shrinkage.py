"""Learn how far each part of a model may move from the shared parameters, by its width sigma (Chen et al. 2020).

Every task is a line y = a x + b with noise: its slope a is its own, its offset b is the same for all tasks. Few noisy
points say little about b, so the best width sigma of the offset is zero and that of the slope is large. sigma-iMAML
finds both from the tasks' query losses. Run it with: python examples/learned_shrinkage.py
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import metaspec as ms


@dataclass(frozen=True)
class Lines:
    """Task i: a line with a slope of its own and the offset 2; four noisy points to adapt to, sixteen to judge on."""

    noise: float = 0.5

    def task(self, index: int) -> ms.Task:
        rng = np.random.default_rng([7, index])
        slope = rng.normal()

        def points(count: int) -> dict[str, Any]:
            x = rng.uniform(-1, 1, size=count)
            return {"x": x, "y": slope * x + 2.0 + self.noise * rng.normal(size=count)}

        return ms.Task(points(4), points(16))

    def batch(self, step: int, size: int) -> ms.Task:
        tasks = [self.task(step * size + i) for i in range(size)]
        return ms.get_backend("numpy").tree_stack(tasks)


def loss(params: Any, batch: Any) -> Any:
    xp = ms.array_namespace(params)
    return xp.mean((params["slope"] * batch["x"] + params["offset"] - batch["y"]) ** 2)


def learned_widths(steps: int = 600) -> dict[str, float]:
    """Return sigma of each module after meta-training."""
    algo = ms.SigmaIMAML(
        ms.GradientDescent(0.05, steps=100), ms.Learned(1.0, per="leaf", positive=True), ms.DenseSolve()
    )
    start = algo.init({"slope": np.array(0.0), "offset": np.array(0.0)})
    run = ms.meta_train(
        algo, loss, start, Lines(), steps=steps, tasks_per_step=16, optimizer=ms.training.Adam(0.04), backend="numpy"
    )
    return {name: float(np.log1p(np.exp(raw))) for name, raw in run.params.learned["sigma"].items()}


if __name__ == "__main__":
    for name, width in learned_widths().items():
        print(f"sigma of the {name}: {width:.3f}")
