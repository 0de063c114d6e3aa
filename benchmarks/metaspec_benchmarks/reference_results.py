"""What every form of a case must give, and how far off rounding may put it.

The reference is computed in float64 by the NumPy backend, whose derivatives the conformance suite holds against
function values alone. The tolerance is that of docs/error-model.md, 16 times the relative change of a leaf when every
operation of the computation is perturbed at random. The perturbation has four times the size of float32's roundoff, so
that the kinks of ReLU are crossed as often as they are in float32: a convolutional network has millions of
activations, of which one on the other side changes the gradient of a kernel by a thousandth.

Perturbed runs of the large cases take minutes, so tolerances are kept in `tolerances.json`, which
`python -m metaspec_benchmarks.reference_results` writes anew.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.algorithms.adjoint import Checkpoint
from metaspec.task import Task, Tree
from metaspec_benchmarks.benchmark_cases import BY_HAND, DTYPE, FULL, QUICK, BenchmarkCase
from metaspec_conformance.judging.error_model import ROUNDOFF, TOLERANCE, norm, relative_error

KEPT = Path(__file__).with_name("tolerances.json")
SEEDS = (1, 2, 3)
SUMS = (
    4.0  # a sum is perturbed as one operation; computed, it rounds at every term, thousands of them in a large network
)
NUMBERS = 1 << 23  # parameters, all perturbed tasks together: a kink may be crossed in any task
TABLE = 1 << 24  # random factors, read from a random place on: drawing them takes longer than the arithmetic


@dataclass(frozen=True)
class ReferenceResult:
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


def truth(case: BenchmarkCase) -> ReferenceResult:
    """The reference of a case, by the leanest way there is: 64 steps kept whole are ten gigabytes."""
    compute, params, tasks = _computation(case, checkpoint="sqrt")
    kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return ReferenceResult(compute(params, tasks), kept.get(case.id) or tolerances(case))


def tolerances(case: BenchmarkCase) -> dict[str, float]:
    """The relative error that each leaf may have, from perturbed runs of a few of the tasks."""
    compute, params, tasks = _computation(case)
    few = min(case.tasks, max(2, NUMBERS // case.parameters))
    some = Task(*({name: leaf[:few] for name, leaf in part.items()} for part in tasks))
    B: Any = ms.get_backend("numpy")
    unit = SUMS * ROUNDOFF[DTYPE]
    exact, of_some = compute(params, tasks), compute(params, some)
    changed = [B.perturbed(compute, _factors(unit, seed))(params, some) for seed in SEEDS]
    return {
        # Tasks' gradients may cancel in the mean, their roundings count in full.
        name: float(f"{TOLERANCE * max(unit, *(norm(p[name] - of_some[name]) / norm(leaf) for p in changed)):.2e}")
        for name, leaf in exact.items()
    }


def _computation(
    case: BenchmarkCase, checkpoint: Checkpoint = "none"
) -> tuple[Callable[[Tree, Task], Tree], dict[str, Any], Task]:
    B, algo, loss = ms.get_backend("numpy"), case.algorithm(checkpoint), case.network.loss

    def compute(params: Tree, tasks: Task) -> Tree:
        return ms.batch_meta_gradient(algo, loss, params, tasks, backend=B).delta

    return compute, case.params("float64"), case.batch("float64")


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


def main() -> None:
    """Write the tolerances of all cases."""
    kept: dict[str, dict[str, float]] = {}
    for case in (*FULL, *QUICK, *BY_HAND):
        if case.id not in kept:
            kept[case.id] = tolerances(case)
            print(f"{case.id}: {max(kept[case.id].values()):.1e}", flush=True)
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
