"""Adapters, algorithms, solvers, task sources and training loops broken on purpose: the suite is itself tested by them.

A fault is used in process, `FAULTS[name](patch)`, or in a worker that is thrown away afterwards, as the target
"tests.conformance.seeded_faults:worker_NAME".
"""

import os
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tests.conformance.seeded_faults import worker_end_faults
from tests.conformance.seeded_faults.fault import FAULTS, VARIABLE, Fault
from tests.conformance.seeded_faults.public_bugs import SEEN

__all__ = ["FAULTS", "MALFORMED", "SEEN", "WRONG", "Fault", "break_child"]

for _file in iter_modules(__path__):  # each enters its faults into the table
    import_module(f"{__name__}.{_file.name}")

WRONG = {name: fault for name, fault in FAULTS.items() if fault.margin}
"""Faults that give finite numbers of the right shape and format, which scenarios see."""

MALFORMED = {name: fault for name, fault in FAULTS.items() if not fault.margin}
"""All others: some check or other sees them."""


def break_child() -> None:
    """Install the fault that the environment names: in a Python process that a check started."""
    FAULTS[os.environ[VARIABLE]](setattr)


def __getattr__(name: str) -> Any:
    """`worker_NAME`: the fault installed for good."""
    if not name.startswith("worker_"):
        raise AttributeError(name)
    plain = name.removeprefix("worker_")
    return partial(FAULTS[plain] if plain in FAULTS else getattr(worker_end_faults, plain), setattr)
