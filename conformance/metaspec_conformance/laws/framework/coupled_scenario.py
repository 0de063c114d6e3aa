"""The smallest scenario whose derivatives of every order couple its leaves: two leaves of one shape and few operations.

A framework that compiles each operation for each shape compiles little for the laws that need nothing more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from metaspec.algorithms import MAML
from metaspec.backend.arrays import array_namespace
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task
from metaspec_conformance.scenarios.datasets import parameters, shaped
from metaspec_conformance.scenarios.scenario import Scenario

SHAPES = {"a": shaped(3), "b": shaped(3)}


@dataclass(frozen=True)
class Coupled:
    """sum (b tanh(a x) - y)^2, entry by entry, plus (sum a b)^2, which couples all entries."""

    def __call__(self, params: Any, batch: Any) -> Any:
        xp = array_namespace(params)
        a, b = params["a"], params["b"]
        misses, overlap = b * xp.tanh(a * batch["x"]) - batch["y"], xp.sum(a * b)
        return xp.sum(misses * misses) + overlap * overlap


def small() -> Iterable[Scenario]:
    """One task; `inner.lr` times the curvature is below one."""
    data = {"x": shaped(3), "y": shaped(3)}
    task = Task(parameters(202, data), parameters(203, data))
    algorithm = MAML(GradientDescent(0.03125, 2))
    return [Scenario("small", Coupled(), parameters(201, SHAPES, 0.5), (task,), algorithm, "extended", ())]


def alone(scenario: Scenario) -> bool:
    """For laws that ask nothing of a scenario that is drawn."""
    return scenario.id == "small"
