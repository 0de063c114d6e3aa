"""A law in extended precision: what is equal to what exactly, and how far rounding moves each side.

The law's own code runs on the NumPy backend in `numpy.longdouble`: once as it is, and for each seed with arithmetic
that is wrong by relative perturbations of a known size, as docs/error-model.md has them for scenarios: in the result of
every operation, and in the arguments and results of every loss, derivative, product and step, which is wherever a tree
is put together. No result under test has a part in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.selection import get_backend
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.laws.framework.claims import Claim, Equal, Within
from metaspec_conformance.laws.framework.law_check import LawCheck, claims
from metaspec_conformance.oracles.extended_precision import perturbation

EXTENDED = "longdouble"


@dataclass(frozen=True)
class LawTruth:
    """A numeric claim in extended precision.

    Attributes:
        exact: The claim.
        amplifications: Per leaf (of `Within`: one, for all leaves): the change of left and right in units of the
            perturbation and of the right side's norm; at least 1.
    """

    exact: Equal | Within
    amplifications: tuple[float, ...]


def truths(check: LawCheck) -> dict[str, LawTruth]:
    """By the claims' names."""
    exact = _numeric(claims(get_backend("numpy"), check, EXTENDED))
    moved = [_numeric(claims(_perturbed(seed), check, EXTENDED)) for seed in error_model.SEEDS]
    return {name: LawTruth(claim, _amplifications(claim, [m[name] for m in moved])) for name, claim in exact.items()}


def sides(claim: Equal | Within) -> list[tuple[Any, Any]]:
    """What is held against what: leaf by leaf, or all leaves as one vector."""
    left, right = leaves(claim.left), leaves(claim.right)
    if len(left) != len(right):
        raise ValueError(f"{claim.what}: {len(left)} leaves on the left and {len(right)} on the right")
    if isinstance(claim, Equal):
        return list(zip(left, right, strict=True))
    return [(_joined(left), _joined(right))]


def _joined(arrays: list[Any]) -> Any:
    return np.concatenate([np.reshape(np.asarray(leaf).astype(np.longdouble), -1) for leaf in arrays])


def _numeric(found: Sequence[Claim]) -> dict[str, Equal | Within]:
    return {claim.what: claim for claim in found if isinstance(claim, Equal | Within)}


def _amplifications(exact: Equal | Within, moved: list[Equal | Within]) -> tuple[float, ...]:
    found = [1.0] * len(sides(exact))
    for other in moved:
        for i, ((left, right), (l_moved, r_moved)) in enumerate(zip(sides(exact), sides(other), strict=True)):
            change = error_model.norm(l_moved - left) + error_model.norm(r_moved - right)
            size = error_model.norm(right)
            if size > 0 and np.isfinite(change):
                found[i] = max(found[i], float(change / size) / error_model.PERTURBATION)
    return tuple(found)


@cache
def _perturbing() -> Any:
    rounding: Any = import_module("metaspec_numpy.rounded_backend").RoundingBackend

    class Perturbing(rounding):
        """Rounds where a tree is put together, too: the arguments and results of losses, derivatives, steps."""

        def tree_unflatten(self, structure: Any, leaves: Sequence[Any]) -> Any:
            return super().tree_unflatten(structure, [self._moved(leaf) for leaf in leaves])

        def _moved(self, leaf: Any) -> Any:
            return leaf * 1.0 if self.is_array(leaf) and is_floating(self.dtype_name(leaf)) else leaf

    return Perturbing


def _perturbed(seed: int) -> Backend:
    backend: Backend = _perturbing()(perturbation(error_model.PERTURBATION, seed).factors)
    return backend
