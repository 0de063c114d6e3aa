"""What an adapter says of itself, and its smallest members, broken on purpose."""

from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy

from metaspec.backend import registry
from metaspec.backend.capabilities import NATIVE, Capability
from metaspec_numpy.adapter import NumpyBackend
from tests.conformance.seeded_faults.derivative_faults import adapter
from tests.conformance.seeded_faults.fault import Patch, fault, member, rebind


@fault(adapter)
def versions_unknown(patch: Patch) -> None:
    """`versions` names nothing."""
    member(patch, "versions", lambda original, self: {})


@fault(adapter)
def precision_entered_once(patch: Patch) -> None:
    """`precision` cannot be entered within itself."""
    active = [0]

    @contextmanager
    def precision(original: Any, self: Any, dtype: str) -> Any:
        if active[0] > 1:
            raise RuntimeError("precision is active already")
        active[0] += 1
        try:
            with original(self, dtype):
                yield
        finally:
            active[0] -= 1

    member(patch, "precision", precision)


@fault(adapter)
def nothing_is_concrete(patch: Patch) -> None:
    """`is_concrete` is never true: nothing that depends on values is ever checked."""
    member(patch, "is_concrete", lambda original, self, x: False)


@fault(adapter)
def everything_is_concrete(patch: Patch) -> None:
    """`is_concrete` is always true: Python is sent to look at the values of traced arrays."""
    member(patch, "is_concrete", lambda original, self, x: True)


@fault(adapter)
def integers_become_floating(patch: Patch) -> None:
    """`asarray` makes integers floating."""

    def asarray(original: Any, self: Any, x: Any, dtype: Any = None, device: Any = None) -> Any:
        array = original(self, x, dtype, device)
        return array.astype(numpy.float64) if dtype is None and array.dtype.kind == "i" else array

    member(patch, "asarray", asarray)


def _declared(patch: Patch, **capabilities: Capability) -> None:
    """Other capabilities in NumPy's registration."""
    original = registry.registrations
    known = original()
    numpys = replace(known["numpy"], capabilities={**known["numpy"].capabilities, **capabilities})
    rebind(patch, original, lambda: {**known, "numpy": numpys})


@fault(adapter)
def capability_misspelt(patch: Patch) -> None:
    """A capability is declared of a member that does not exist."""
    _declared(patch, vectorize=NATIVE)


@fault(adapter)
def derived_declared_native(patch: Patch) -> None:
    """`linearize_grad` is declared native, and is the derived one."""
    _declared(patch, linearize_grad=NATIVE)


@fault(adapter)
def supported_declared_unsupported(patch: Patch) -> None:
    """`scan` is declared unsupported, and works."""
    _declared(patch, scan=Capability("unsupported", "it is slow"))


class _Lacking:
    """A namespace without one of its functions."""

    def __init__(self, namespace: Any, name: str) -> None:
        self._namespace, self._name = namespace, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._namespace, name)


@fault(adapter)
def namespace_incomplete(patch: Patch) -> None:
    """`xp` has no `cosh`."""
    original = NumpyBackend.xp
    patch(NumpyBackend, "xp", property(lambda self: _Lacking(original.fget(self), "cosh")))
