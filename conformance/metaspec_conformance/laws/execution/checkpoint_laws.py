"""Laws of what is kept and what is computed again: neither changes a result."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import metaspec as ms
from metaspec.algorithms.adjoint import CHECKPOINTS
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios


@law(
    "checkpoints",
    "D(none) = D(recompute) = D(sqrt) over twelve steps; compiled, where such a path is a loop, too",
    "MS-MAML-2",
    "MS-BACKEND-6",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=("float64",),
)
def checkpoints(at: LawContext) -> Iterator[Claim]:
    modes: dict[str, Any] = {name: replace(at.inner(steps=12), checkpoint=name) for name in CHECKPOINTS}
    kept = at.meta_gradient(modes["none"])
    for name in ("recompute", "sqrt"):
        r = at.meta_gradient(modes[name])
        yield Equal(f"{name}: delta", r.delta, kept.delta)
        yield Equal(f"{name}: adapted", r.adapted, kept.adapted)
    for name in ("none", "sqrt"):
        compiled = ms.compile(lambda p, t, algo=modes[name]: at.meta_gradient(algo, params=p, task=t), backend=at.B)
        yield Equal(f"{name}, compiled: delta", compiled(at.params, at.task).delta, kept.delta)
