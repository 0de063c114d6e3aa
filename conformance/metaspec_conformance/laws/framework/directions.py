"""Directions for laws that hold along any: fixed trees like the parameters."""

from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.scenarios.datasets import parameters


def direction(at: LawContext, seed: int) -> Tree:
    """Normal entries, rounded to float32 numbers."""
    return at.array(parameters(seed, at.scenario.params))
