"""What a seeded fault is. Things are broken by `patch(object, attribute, value)` alone, so that it can be undone."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.tuning import Tuning
from metaspec_numpy.adapter import NumpyBackend, NumpyGuard, NumpyTuning

VARIABLE = "METASPEC_SEEDED_FAULT"  # names the fault for the processes that a check starts

Patch = Callable[[Any, str, Any], None]


@dataclass(frozen=True)
class Fault:
    """Something broken on purpose.

    Attributes:
        name: Of the function that breaks it.
        kind: Adapter, algorithm, inner loop, solver, meta-batch, purity, interface, task source, training.
        says: What is wrong, in one line.
        rows: The rows of `seen.SEEN` that it stands for: bugs of this kind that public implementations had.
        breaks: Breaks it.
        dtype: The format in which it shows.
        margin: It gives finite numbers of the right shape and format; each scenario sees it from afar or not at all.
        worker: It shows between processes: a check that starts a worker is to start one with the fault.
    """

    name: str
    kind: str
    says: str
    rows: tuple[int, ...]
    breaks: Callable[[Patch], None]
    dtype: str = "float64"
    margin: bool = False
    worker: bool = False

    def __call__(self, patch: Patch) -> Backend:
        """Break it; the backend to compute with."""
        self.breaks(patch)
        return NumpyBackend()


FAULTS: dict[str, Fault] = {}


def fault(
    kind: str, *rows: int, dtype: str = "float64", margin: bool = False, worker: bool = False
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Enter a function that breaks something into the table; its docstring says what is wrong."""

    def enter(breaks: Callable[[Patch], None]) -> Callable[[Patch], None]:
        name, says = breaks.__name__, " ".join((breaks.__doc__ or "").split()).removesuffix(".")
        if name in FAULTS or not says:
            raise ValueError(f"fault {name!r} is there twice, or does not say what it is")
        FAULTS[name] = Fault(name, kind, says, rows, breaks, dtype, margin, worker)
        return breaks

    return enter


def rebind(patch: Patch, original: Any, replacement: Any) -> None:
    """`replacement` for `original` under every name that a module of metaspec knows it by."""
    places = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.startswith("metaspec") and module is not None
        for name, value in list(vars(module).items())
        if value is original
    ]
    if not places:
        raise LookupError(f"no module of metaspec knows {original!r}")
    for module, name in places:
        patch(module, name, replacement)


def member(patch: Patch, name: str, call: Callable[..., Any]) -> None:
    """Patch a member of the NumPy backend, its guard or tuning as `method` does, in the class that defines it."""
    owner = next(kind for kind in (NumpyBackend, NumpyGuard, NumpyTuning, Backend, Guard, Tuning) if name in vars(kind))
    method(patch, owner, name, call)


def method(patch: Patch, kind: type, name: str, call: Callable[..., Any]) -> None:
    """`call(original, self, ...)` for a method of a class."""
    original = getattr(kind, name)
    patch(kind, name, lambda *args, **named: call(original, *args, **named))
