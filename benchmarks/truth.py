"""What every form of a case must give, and how far off rounding may put it.

The reference is computed in float64. The tolerance is that of docs/error-model.md: 16 times the relative change of a leaf
when every operation of the computation is perturbed at random. The perturbation has the size of float32's own roundoff,
so that the kinks of ReLU are crossed as often as they would be in float32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.benchmarks.cases import DTYPE, Case
from metaspec.conformance.errors import ROUNDOFF, TOLERANCE, relative_error
from metaspec.task import Task, Tree

SEEDS = (1, 2)
FEW = 4  # tasks that are perturbed: of more the mean is no less sure
TABLE = 1 << 24  # random factors, read from a random place on: drawing them takes longer than the arithmetic


@dataclass(frozen=True)
class Truth:
    """Leaves of the meta-gradient, and for each the relative error that is allowed."""

    leaves: dict[str, Any]
    tolerances: dict[str, float]

    def problem(self, found: Mapping[str, Any]) -> str | None:
        """Which leaf is wrong, and by how much; None where all are right."""
        if set(found) != set(self.leaves):
            return f"leaves {sorted(found)}, expected {sorted(self.leaves)}"
        for name, expected in self.leaves.items():
            off = relative_error(np.asarray(found[name], dtype="float64"), expected)
            if not off <= self.tolerances[name]:
                return f"{name} is off by {off:.1e}, allowed are {self.tolerances[name]:.1e}"
        return None

    def worst(self, found: Mapping[str, Any]) -> float:
        """The largest error of a leaf, in units of what is allowed."""
        return max(
            relative_error(np.asarray(found[name], dtype="float64"), expected) / self.tolerances[name]
            for name, expected in self.leaves.items()
        )


def truth(case: Case) -> Truth:
    """By the NumPy backend, whose derivatives are held against function values alone by the conformance suite."""
    B = ms.get_backend("numpy")
    algo, loss = case.algorithm(), case.network.loss

    def compute(params: Tree, tasks: Task) -> Tree:
        return ms.batch_meta_gradient(algo, loss, params, tasks, backend=B).delta

    arguments = case.params("float64"), case.batch("float64")
    exact: dict[str, Any] = compute(*arguments)
    unit = ROUNDOFF[DTYPE]
    params, tasks = arguments
    few = Task(*({name: leaf[:FEW] for name, leaf in part.items()} for part in tasks))
    same = exact if case.tasks <= FEW else compute(params, few)
    changed = [B.perturbed(compute, _factors(unit, seed))(params, few) for seed in SEEDS]  # type: ignore[attr-defined]
    tolerances = {
        name: TOLERANCE * max(unit, *(relative_error(other[name], leaf) for other in changed))
        for name, leaf in same.items()
    }
    return Truth(exact, tolerances)


def _factors(unit: float, seed: int) -> Callable[[tuple[int, ...]], Any]:
    rng, table = np.random.default_rng(seed), 1 + unit * _signs()

    def factors(shape: tuple[int, ...]) -> Any:
        n = prod(shape)
        if n > TABLE:
            return np.resize(table, shape)
        start = int(rng.integers(TABLE - n + 1))
        return table[start : start + n].reshape(shape)

    return factors


@cache
def _signs() -> Any:
    return 2.0 * np.random.default_rng(0).integers(0, 2, size=TABLE, dtype="int8") - 1
