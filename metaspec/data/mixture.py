r"""Regression on tasks of several families: harder than sinusoids, since no one start suits them all.

    sinusoid   A sin(x - \varphi)     A ~ U[0.1, 5],  \varphi ~ U[0, \pi]
    linear     a x + b                a, b ~ U[-3, 3]
    quadratic  +-a (x - c)^2 + b      a ~ U[0.02, 0.15],  b, c ~ U[-3, 3],  either sign
    absolute   a |x - c| + b          a, b, c ~ U[-3, 3]
    tanh       a tanh(x - c) + b      a, b, c ~ U[-3, 3]

Source: Vuorio, Sun, Hu, Lim, "Multimodal model-agnostic meta-learning via task-aware modulation", NeurIPS 2019; the
intervals are those of the authors' code (vuoristo/MMAML-Regression, maml/datasets/simple_functions.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.checks.arguments import NOT_NEGATIVE, checked_number
from metaspec.data._check import check_choice, check_drawing, check_range
from metaspec.data._random import uniforms
from metaspec.data.source import batch_indices, block_indices, divided, only, task_indices
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Task

Floats = NDArray[np.float64]
PARAMETERS = 4


@dataclass(frozen=True)
class Family:
    """f(x; p), and the intervals of p, at most four."""

    intervals: tuple[tuple[float, float], ...]
    function: Callable[..., Any]


WIDE = (-3.0, 3.0)
FAMILIES = {
    "sinusoid": Family(((0.1, 5.0), (0.0, math.pi)), lambda x, A, phase: A * np.sin(x - phase)),
    "linear": Family((WIDE, WIDE), lambda x, a, b: a * x + b),
    "quadratic": Family(
        ((0.02, 0.15), WIDE, WIDE, (-1.0, 1.0)), lambda x, a, b, c, sign: np.copysign(a, sign) * (x - c) ** 2 + b
    ),
    "absolute": Family((WIDE, WIDE, WIDE), lambda x, a, b, c: a * np.abs(x - c) + b),
    "tanh": Family((WIDE, WIDE, WIDE), lambda x, a, b, c: a * np.tanh(x - c) + b),
}


@dataclass(frozen=True)
class FunctionMixture:
    """A task source: each task is one function of a family that is drawn, every family as often as the others.

    Leaves as `Sinusoid`'s: support x and y [shots, 1], query x and y [queries, 1]; of a batch: a leading axis.

    Args:
        families: names of families, see above.
        noise: standard deviation of the normal noise on every y; the paper's is 0.3.
        shots: points in the support set.
        queries: points in the query set.
        seed: names the family of tasks, 0 <= seed < 2^64.
        stream: "train", "validation" or "test": disjoint streams of random numbers under one seed.
        dtype: "float32" or "float64".
        x: the interval of the inputs.

    Raises:
        InvalidArgumentError, InvalidTypeError: naming the argument.

    Example:
        >>> from metaspec import data
        >>> source = data.FunctionMixture(("sinusoid", "linear"), shots=5)
        >>> source.batch(step=0, size=25).support["y"].shape
        (25, 5, 1)
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    noise: float = 0.0
    shots: int = 10
    queries: int = 10
    seed: int = 0
    stream: str = "train"
    dtype: str = "float32"
    x: tuple[float, float] = (-5.0, 5.0)

    def __post_init__(self) -> None:
        if isinstance(self.families, str) or not isinstance(self.families, Sequence):
            raise InvalidTypeError(f"families: expected a tuple of names, got {self.families!r}")
        for i, name in enumerate(self.families):
            check_choice(f"families[{i}]", name, tuple(FAMILIES))
        if not self.families or len(set(self.families)) < len(self.families):
            raise InvalidArgumentError(f"families: expected one or more distinct names, got {self.families!r}")
        object.__setattr__(self, "families", tuple(self.families))
        object.__setattr__(self, "noise", checked_number(self.noise, "noise", *NOT_NEGATIVE))
        check_drawing(self, "shots", "queries")
        check_range("x", self.x)

    def task(self, index: int) -> Task:
        """Returns task number `index`; the same bits on every call, in every process."""
        return only(self._stack(task_indices(index)))

    def batch(self, step: int, size: int) -> Task:
        """Returns the tasks step * size, ..., step * size + size - 1, stacked along axis 0."""
        return self._stack(batch_indices(step, size))

    def batches(self, first: int, count: int, size: int) -> list[Task]:
        """Returns the batches of `count` steps, drawn at once: [batch(first, size), batch(first + 1, size), ...]."""
        return divided(self._stack(block_indices(first, count, size)), size)

    def family(self, index: int) -> tuple[str, tuple[float, ...]]:
        """Returns the family of task number `index` and the values of its parameters, in float64."""
        u = uniforms(self.seed, self.stream, task_indices(index), 1 + PARAMETERS)
        name = self.families[int(self._kinds(u)[0])]
        return name, tuple(p.item() for p in _parameters(FAMILIES[name], u))

    def values(self, index: int, x: Floats) -> Floats:
        """Returns the function of task number `index`, without noise, at the points x, of any shape, in float64."""
        name, parameters = self.family(index)
        values: Floats = FAMILIES[name].function(np.asarray(x, dtype=np.float64), *parameters)
        return values

    def _kinds(self, u: Floats) -> NDArray[np.int64]:
        return (u[:, 0] * len(self.families)).astype(np.int64)

    def _stack(self, indices: Sequence[int]) -> Task:
        points, first = self.shots + self.queries, 1 + PARAMETERS
        u = uniforms(self.seed, self.stream, indices, first + points * (3 if self.noise else 1))
        low, high = self.x
        x = low + (high - low) * u[:, first : first + points]
        y, kinds = np.empty_like(x), self._kinds(u)
        for kind, name in enumerate(self.families):
            rows = kinds == kind
            y[rows] = FAMILIES[name].function(x[rows], *_parameters(FAMILIES[name], u[rows]))
        if self.noise:
            y += self.noise * _normals(u[:, first + points :])
        support, query = (
            {"x": x[:, part, None].astype(self.dtype), "y": y[:, part, None].astype(self.dtype)}
            for part in (slice(None, self.shots), slice(self.shots, None))
        )
        return Task(support, query)


def _parameters(family: Family, u: Floats) -> list[Floats]:
    """The parameters of each row, each [rows, 1]."""
    return [low + (high - low) * u[:, 1 + i, None] for i, (low, high) in enumerate(family.intervals)]


def _normals(u: Floats) -> Floats:
    """Standard normal numbers [rows, n] from uniforms [rows, 2 n] (Box and Muller 1958)."""
    first, second = np.split(u, 2, axis=1)
    normals: Floats = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
    return normals
