"""Whether what a worker returned is what the reference says, and whether the law holds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.error_model import Measured
from metaspec_conformance.judging.evidence import LAW, Check, Evidence
from metaspec_conformance.judging.numpy_trees import leaves_with_paths, ravel
from metaspec_conformance.laws.framework.law_check import LawCheck
from metaspec_conformance.laws.framework.law_truth import LawTruth
from metaspec_conformance.laws.framework.law_verdicts import judged
from metaspec_conformance.scenarios.reference import Reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.messages import Result


@dataclass(frozen=True)
class Outcome:
    """One check on one backend in one format; `scenario` is the check's id."""

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


def judge(backend: str, check: Check, dtype: str, evidence: Evidence, result: Result) -> Outcome:
    """The outcome, with the leaf that is worst."""
    oracle = evidence.oracle if isinstance(evidence, Reference) else LAW
    name = check.algorithm_name
    plain = Outcome(backend, name, check.id, dtype, oracle, None, result.error, result.seconds)
    if result.error:
        return plain
    if isinstance(check, LawCheck) and not isinstance(evidence, Reference):
        return _judged_law(plain, evidence, result)
    if isinstance(check, Scenario) and isinstance(evidence, Reference):
        return _judged_scenario(plain, check, evidence, result)
    raise TypeError(f"{check.id}: no evidence of the kind that belongs to it")


def _judged_law(plain: Outcome, truths: dict[str, LawTruth], result: Result) -> Outcome:
    measured, problem = judged(result.claims, truths, plain.dtype)
    worst = max(measured, key=lambda m: m.error / m.tolerance, default=None)
    return replace(plain, worst=worst, message=problem)


def _judged_scenario(outcome: Outcome, scenario: Scenario, reference: Reference, result: Result) -> Outcome:
    dtype = outcome.dtype
    found = {name + path: leaf for name, tree in result.trees.items() for path, leaf in leaves_with_paths(tree)}
    if problem := _malformed(found, reference, dtype):
        return replace(outcome, message=problem)
    measured = _measured(scenario, found, result.trees, reference, dtype)
    worst = max(measured, key=lambda m: m.error / m.tolerance)
    plain = [m.relative for m in measured if not m.by_residual]
    agreed = error_model.digits(max(plain)) if plain else None
    what = "residual above tol" if worst.by_residual else "relative error"
    message = "" if worst.passed else f"{worst.leaf}: {what} {worst.relative:.2e}"
    return replace(outcome, worst=worst, message=message, digits=agreed)


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
        error_model.measure(path, error_model.relative_error(found[path], wanted.value), wanted.amplification, dtype)
        for path, wanted in reference.leaves.items()
    ]
    for system in reference.systems:
        excess = max(0.0, system.residual(ravel(trees["delta"])) - system.tol)
        measured.append(error_model.measure("delta (residual)", excess, system.amplification, dtype, by_residual=True))
    return measured
