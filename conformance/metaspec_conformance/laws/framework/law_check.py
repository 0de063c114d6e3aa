"""A law on a scenario, and its claims as a backend makes them, as plain data."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import backend_context
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.laws.framework.claims import Claim, Holds
from metaspec_conformance.laws.framework.law import LAWS
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.scenarios.scenario import Scenario


@dataclass(frozen=True)
class LawCheck:
    """One law on one scenario: plain data, like a scenario."""

    law: str
    scenario: Scenario

    @property
    def id(self) -> str:
        """E.g. permuted-tasks/stacked/maml; the law's name alone where the scenario has none."""
        return f"{self.law}/{self.scenario.id}" if self.scenario.id else self.law

    @property
    def clauses(self) -> tuple[str, ...]:
        """The clauses of SPEC.md that the law covers."""
        return LAWS[self.law].clauses

    @property
    def algorithm_name(self) -> str:
        """The name under which reports count the check: the law's subject, or the scenario's algorithm."""
        return LAWS[self.law].subject or self.scenario.algorithm_name

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The formats that the scenario and the law have in common."""
        return tuple(dtype for dtype in self.scenario.dtypes if dtype in LAWS[self.law].dtypes)


def claims(B: Backend, check: LawCheck, dtype: str, target: str | None = None) -> list[Claim]:
    """The law's claims on a backend, arrays as NumPy's."""
    with B.precision(dtype), backend_context(B):
        at = LawContext(B, dtype, check.scenario, target)
        _ = at.params, at.tasks  # made here: an array made within a derivative may be marked by it
        return [_plain(B, claim) for claim in LAWS[check.law].check(at)]


def _plain(B: Backend, claim: Claim) -> Claim:
    if isinstance(claim, Holds):
        return claim

    def plain(tree: Any) -> Any:
        return tree_map(lambda leaf: np.array(B.to_numpy(leaf)) if B.is_array(leaf) else np.asarray(leaf), tree)

    return replace(claim, left=plain(claim.left), right=plain(claim.right))
