"""A scenario's reference: its exact results, how far roundoff is amplified in each, and who says so."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from metaspec.task import Task
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import leaves_with_paths, ravel, tree_map
from metaspec_conformance.oracles import extended_precision as extended
from metaspec_conformance.oracles import quadratic
from metaspec_conformance.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Expected:
    """One leaf of the result."""

    value: Any
    amplification: float


@dataclass(frozen=True)
class System:
    """One task's system A x = b, for a solve that stops by tolerance and is judged by its residual."""

    matrix: Any
    rhs: Any
    tol: float
    amplification: float

    def residual(self, x: Any) -> float:
        """||A x - b|| / ||b||."""
        x = np.asarray(x).astype(np.longdouble)
        return error_model.relative_error(np.sum(self.matrix * x, axis=1), self.rhs)


@dataclass(frozen=True)
class Reference:
    """Leaves by path ("delta['w']", "query_loss"), the systems judged by residual, the oracle's name."""

    leaves: dict[str, Expected]
    systems: tuple[System, ...]
    oracle: str


Unrolled = Callable[[Scenario, Task, int | None], dict[str, Any]]
"""(scenario, task, seed of the perturbed arithmetic or None) -> what `extended.compute` gives."""


def unrolled(scenario: Scenario, task: Task, seed: int | None) -> dict[str, Any]:
    """Backpropagation in extended precision, exact or with perturbed arithmetic."""
    rounding = extended.EXACT if seed is None else extended.perturbation(error_model.PERTURBATION, seed)
    return extended.compute(scenario, task, rounding)


def reference(scenario: Scenario, unrolled: Unrolled = unrolled) -> Reference:
    """Computed in extended precision, with no backend but NumPy's.

    Args:
        scenario: What to compute.
        unrolled: How backpropagation through the unrolled loop is had, e.g. from a program for many scenarios.

    Raises:
        ValueError: A solve that stops by tolerance in a meta-batch: each is judged by its residual, the mean has none.
    """
    by_residual = getattr(getattr(scenario.algorithm, "solver", None), "tol", None) is not None
    if by_residual and len(scenario.tasks) > 1:
        raise ValueError(
            f"{scenario.id}: a solve with `tol` is judged by its residual, so for one task, not for a mean"
        )
    backpropagated = [unrolled(scenario, task, None) for task in scenario.tasks]
    perturbed = [[unrolled(scenario, task, seed) for task in scenario.tasks] for seed in error_model.SEEDS]
    exact = backpropagated
    name = extended.NAME
    if scenario.oracle == "quadratic":
        exact, name = [quadratic.compute(scenario, task) for task in scenario.tasks], quadratic.NAME
    truth = dict(leaves_with_paths(_joined(scenario, exact)))
    changed = [dict(leaves_with_paths(_joined(scenario, tasks))) for tasks in perturbed]
    found = {
        path: Expected(value, error_model.amplification(value, [other[path] for other in changed]))
        for path, value in truth.items()
        if not (by_residual and path.startswith("['delta']"))
    }
    systems = _systems(scenario, backpropagated, perturbed) if by_residual and scenario.form != "adapt" else ()
    return Reference({_readable(path): expected for path, expected in found.items()}, systems, name)


def _joined(scenario: Scenario, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """What the public function returns: of a meta-batch means, and the adapted parameters stacked."""
    names = [name for name in ("delta", "adapted", "query_loss") if name in tasks[0]]
    if scenario.form in ("task", "adapt"):
        return {name: tasks[0][name] for name in names}

    def mean(*parts: Any) -> Any:
        return reduce(lambda a, b: a + b, parts) / np.longdouble(len(parts))

    joins = {"delta": mean, "query_loss": mean, "adapted": lambda *parts: np.stack(parts)}
    return {name: tree_map(joins[name], *(task[name] for task in tasks)) for name in names}


def _systems(
    scenario: Scenario, exact: list[dict[str, Any]], perturbed: list[list[dict[str, Any]]]
) -> tuple[System, ...]:
    imaml: Any = scenario.algorithm
    tol = imaml.solver.tol
    found = []
    for i, task in enumerate(exact):
        system = System(task["matrix"], task["rhs"], tol, 1.0)
        residuals = [system.residual(ravel(others[i]["delta"])) for others in perturbed]
        amplified = max(1.0, max(residuals) / error_model.PERTURBATION)
        found.append(System(system.matrix, system.rhs, tol, amplified))
    return tuple(found)


def _readable(path: str) -> str:
    """['delta']['w'] -> delta['w']."""
    name, _, rest = path.removeprefix("['").partition("']")
    return name + rest
