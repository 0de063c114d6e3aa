"""Adapters, algorithms, solvers, task sources and training loops broken on purpose: the suite is itself tested by them.

A fault is used in process, `FAULTS[name](patch)`, or in a worker that is thrown away afterwards, as the target
"seeded_faults:worker_NAME".
"""

from functools import partial
from typing import Any

from . import (
    algorithms,
    batches,
    declared,
    derivatives,
    ends,
    implicit,
    inner,
    interface,
    purity,
    rules,
    solvers,
    sources,
    training,
    transformations,
)
from .fault import FAULTS, Fault
from .seen import SEEN

__all__ = [
    "FAULTS",
    "MALFORMED",
    "SEEN",
    "WRONG",
    "Fault",
    "algorithms",
    "batches",
    "declared",
    "derivatives",
    "ends",
    "implicit",
    "inner",
    "interface",
    "purity",
    "rules",
    "solvers",
    "sources",
    "training",
    "transformations",
]

WRONG = {name: fault for name, fault in FAULTS.items() if fault.margin}
"""Faults that give finite numbers of the right shape and format, which scenarios see."""

MALFORMED = {name: fault for name, fault in FAULTS.items() if not fault.margin}
"""All others: some check or other sees them."""


def __getattr__(name: str) -> Any:
    """`worker_NAME`: the fault installed for good."""
    if not name.startswith("worker_"):
        raise AttributeError(name)
    plain = name.removeprefix("worker_")
    return partial(FAULTS[plain] if plain in FAULTS else getattr(ends, plain), setattr)
