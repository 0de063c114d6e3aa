"""Whether what a worker returned is what the reference says."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.conformance import errors
from metaspec.conformance.errors import Measured
from metaspec.conformance.messages import Result
from metaspec.conformance.plain import leaves_with_paths, ravel
from metaspec.conformance.reference import Reference
from metaspec.conformance.scenario import Scenario


@dataclass(frozen=True)
class Outcome:
    """One scenario on one backend in one format."""

    backend: str
    algorithm: str
    scenario: str
    dtype: str
    oracle: str
    worst: Measured | None
    message: str = ""
    seconds: float = 0.0
    digits: float | None = None

    @property
    def passed(self) -> bool:
        """Whether everything agreed."""
        return not self.message


def judge(backend: str, scenario: Scenario, dtype: str, reference: Reference, result: Result) -> Outcome:
    """The outcome, with the leaf that is worst."""

    def outcome(worst: Measured | None, message: str, agreed: float | None = None) -> Outcome:
        name = scenario.algorithm_name
        return Outcome(backend, name, scenario.id, dtype, reference.oracle, worst, message, result.seconds, agreed)

    if result.error:
        return outcome(None, result.error)
    found = {name + path: leaf for name, tree in result.trees.items() for path, leaf in leaves_with_paths(tree)}
    if problem := _malformed(found, reference, dtype):
        return outcome(None, problem)
    measured = _measured(scenario, found, result.trees, reference, dtype)
    worst = max(measured, key=lambda m: m.error / m.tolerance)
    plain = [m.relative for m in measured if not m.by_residual]
    agreed = errors.digits(max(plain)) if plain else None
    if worst.passed:
        return outcome(worst, "", agreed)
    what = "residual above tol" if worst.by_residual else "relative error"
    return outcome(worst, f"{worst.leaf}: {what} {worst.relative:.2e}", agreed)


def _malformed(found: dict[str, Any], reference: Reference, dtype: str) -> str:
    names = {path.partition("[")[0] for path in reference.leaves}
    wrong = {path for path in found if path.partition("[")[0] in names} ^ set(reference.leaves)
    if wrong:
        return f"the result's tree has other leaves than the parameters: {', '.join(sorted(wrong))}"
    for path, leaf in found.items():
        if not isinstance(leaf, np.ndarray):
            return f"{path}: expected an array, got {leaf!r}"
        if leaf.dtype.name != dtype:
            return f"{path}: dtype {leaf.dtype.name}, where {dtype} was asked for"
        if path in reference.leaves and leaf.shape != reference.leaves[path].value.shape:
            return f"{path}: shape {leaf.shape}, expected {reference.leaves[path].value.shape}"
    return ""


def _measured(
    scenario: Scenario, found: dict[str, Any], trees: dict[str, Any], reference: Reference, dtype: str
) -> list[Measured]:
    measured = [
        errors.measure(path, errors.relative_error(found[path], wanted.value), wanted.amplification, dtype)
        for path, wanted in reference.leaves.items()
    ]
    for system in reference.systems:
        excess = max(0.0, system.residual(ravel(trees["delta"])) - system.tol)
        measured.append(errors.measure("delta (residual)", excess, system.amplification, dtype, by_residual=True))
    return measured
