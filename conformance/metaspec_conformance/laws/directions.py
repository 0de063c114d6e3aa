"""Directions for laws that hold along any: fixed trees like the parameters."""

from metaspec_conformance.laws.context import Bench, Tree
from metaspec_conformance.scenarios.datasets import parameters


def direction(at: Bench, seed: int) -> Tree:
    """Normal entries, rounded to float32 numbers."""
    return at.array(parameters(seed, at.scenario.params))
