"""Directions for laws that hold along any: fixed trees like the parameters."""

from metaspec.conformance.laws.bench import Bench, Tree
from metaspec.conformance.problems import parameters


def direction(at: Bench, seed: int) -> Tree:
    """Normal entries, rounded to float32 numbers."""
    return at.array(parameters(seed, at.scenario.params))
