r"""Sinusoid regression, the first experiment of the MAML paper.

    y = A sin(x - \varphi),   A ~ U[0.1, 5],   \varphi ~ U[0, \pi],   x ~ U[-5, 5]

Source: Finn, Abbeel, Levine, "Model-agnostic meta-learning for fast adaptation of deep networks", ICML 2017, section
5.1; the sign of the phase is that of the authors' code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaspec.data._check import check_drawing, check_range
from metaspec.data._random import uniforms
from metaspec.data.source import batch_indices, block_indices, divided, only, task_indices
from metaspec.task import Task


@dataclass(frozen=True)
class Sinusoid:
    r"""A task source: each task is one sinusoid y = A sin(x - \varphi), seen at `shots` and judged at `queries` points.

    Leaves of a task: support x and y [shots, 1], query x and y [queries, 1]; of a batch: a leading axis over tasks. All
    is computed in float64 and rounded once, so the float32 tasks are the float64 tasks rounded.

    Args:
        shots: points in the support set.
        queries: points in the query set.
        seed: names the family of tasks, 0 <= seed < 2^64.
        stream: "train", "validation" or "test": disjoint streams of random numbers under one seed.
        dtype: "float32" or "float64".
        amplitude: the interval of A.
        phase: the interval of \varphi.
        x: the interval of the inputs.

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument.

    Example:
        >>> from metaspec import data
        >>> source = data.Sinusoid(shots=10, queries=10)
        >>> source.batch(step=0, size=25).support["x"].shape
        (25, 10, 1)
    """

    shots: int = 10
    queries: int = 10
    seed: int = 0
    stream: str = "train"
    dtype: str = "float32"
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    x: tuple[float, float] = (-5.0, 5.0)

    def __post_init__(self) -> None:
        check_drawing(self, "shots", "queries")
        for name in ("amplitude", "phase", "x"):
            check_range(name, getattr(self, name))

    def task(self, index: int) -> Task:
        """Returns task number `index`; the same bits on every call, in every process."""
        return only(self._stack(task_indices(index)))

    def batch(self, step: int, size: int) -> Task:
        """Returns the tasks step * size, ..., step * size + size - 1, stacked along axis 0."""
        return self._stack(batch_indices(step, size))

    def batches(self, first: int, count: int, size: int) -> list[Task]:
        """Returns the batches of `count` steps, drawn at once: [batch(first, size), batch(first + 1, size), ...]."""
        return divided(self._stack(block_indices(first, count, size)), size)

    def amplitude_and_phase(self, index: int) -> tuple[float, float]:
        r"""Returns (A, \varphi) of task number `index`, in float64."""
        u = uniforms(self.seed, self.stream, task_indices(index), 2)
        return float(_scale(u[0, 0], self.amplitude)), float(_scale(u[0, 1], self.phase))

    def values(self, index: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the function of task number `index` at the points x, of any shape, in float64."""
        A, phase = self.amplitude_and_phase(index)
        values: NDArray[np.float64] = A * np.sin(np.asarray(x, dtype=np.float64) - phase)
        return values

    def _stack(self, indices: Sequence[int]) -> Task:
        u = uniforms(self.seed, self.stream, indices, 2 + self.shots + self.queries)[..., None]
        A, phase = _scale(u[:, :1], self.amplitude), _scale(u[:, 1:2], self.phase)
        x = _scale(u[:, 2:], self.x)
        y = A * np.sin(x - phase)
        support, query = (
            {"x": x[:, part].astype(self.dtype), "y": y[:, part].astype(self.dtype)}
            for part in (slice(None, self.shots), slice(self.shots, None))
        )
        return Task(support, query)


def _scale(u: NDArray[np.float64], interval: tuple[float, float]) -> NDArray[np.float64]:
    low, high = interval
    return low + (high - low) * u
