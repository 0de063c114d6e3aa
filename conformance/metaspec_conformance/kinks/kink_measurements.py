"""First and second derivatives at the kinks, on one backend here, or on several, each in a process of its own."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import backend_context
from metaspec.errors import MetaspecError
from metaspec_conformance.kinks.catalogue import KINKS, Kink
from metaspec_conformance.workers.loading import load
from metaspec_conformance.workers.worker import Worker, WorkerDiedError, WorkerError

DTYPE = "float64"
TIMEOUT = 300.0

Cell = tuple[str, str]
"""What was found at first and at second order, in words: "0.5", "1, 0", "nan", or the error's kind."""


@dataclass(frozen=True)
class Found:
    """One backend: versions, and a cell by each kink's name."""

    versions: Mapping[str, str]
    cells: Mapping[str, Cell]


def measure(B: Backend) -> Found:
    """On a backend, in this process."""
    with B.precision(DTYPE), backend_context(B), np.errstate(all="ignore"):
        return Found(dict(B.versions()), {kink.name: _cell(B, kink) for kink in KINKS})


def _cell(B: Backend, kink: Kink) -> Cell:
    def f(x: Any) -> Any:
        return B.xp.sum(kink.f(B, x))

    def first() -> Any:
        return B.grad(f)(B.asarray(np.asarray(kink.at), DTYPE))

    def second() -> Any:
        x = B.asarray(np.asarray(kink.at), DTYPE)
        return B.hvp(f)(x, B.asarray(np.ones(len(kink.at)), DTYPE))

    return _said(B, first), _said(B, second)


def _said(B: Backend, compute: Any) -> str:
    try:
        return in_words(np.asarray(B.to_numpy(compute())))
    except Exception as error:  # a framework that refuses is a finding
        return type(error).__name__


def in_words(values: Any) -> str:
    """E.g. 0.5, or for several entries 1, 0; a zero has no sign."""
    return ", ".join(f"{float(v) + 0.0:g}" for v in values)


def measure_all(targets: Sequence[str], workers: int = 2) -> dict[str, Found]:
    """Backends by name, or module:attribute, each in a process of its own, some at a time.

    Raises:
        MetaspecError: One cannot be loaded; the message says why.
    """
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(targets, pool.map(_in_process, targets), strict=True))


def measure_target(target: str) -> Found:
    """Measure a backend by name, or module:attribute, in this process."""
    return measure(load(target))


def _in_process(target: str) -> Found:
    try:
        with Worker() as worker:
            found: Found = worker.call(f"{__name__}:measure_target", target, timeout=TIMEOUT)
            return found
    except (WorkerError, WorkerDiedError) as error:
        raise MetaspecError(f"kinks: {target}: {error}") from None


def as_json(found: Mapping[str, Found]) -> dict[str, Any]:
    """Everything, with the declared conventions."""
    return {
        "dtype": DTYPE,
        "kinks": [
            {
                "kink": kink.name,
                "at": list(kink.at),
                "declared": declared(kink),
                "found": {target: list(one.cells[kink.name]) for target, one in found.items()},
            }
            for kink in KINKS
        ],
        "versions": {target: dict(one.versions) for target, one in found.items()},
    }


def declared(kink: Kink) -> list[str] | None:
    """The convention in words; None where the framework's own counts."""
    return None if kink.declared is None else [in_words(order) for order in kink.declared]


def departures(found: Mapping[str, Found]) -> list[str]:
    """Where a backend does not keep to what is declared."""
    return [
        f"{target}: {kink.name}: {' / '.join(one.cells[kink.name])}, declared {' / '.join(wanted)}"
        for kink in KINKS
        if (wanted := declared(kink)) is not None
        for target, one in found.items()
        if list(one.cells[kink.name]) != wanted
    ]
