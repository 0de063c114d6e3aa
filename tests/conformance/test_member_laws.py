"""The laws of members and capabilities can fail: each fault is caught by the law of the member that it is in."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from metaspec import protocol
from metaspec.backends.numpy import registration as numpy_registration
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.capabilities import MEMBERS, NATIVE, Capability
from metaspec.conformance.certification import certification
from metaspec.conformance.kit.cases import Case
from metaspec.conformance.kit.running import Running
from metaspec.conformance.laws import capabilities
from metaspec.conformance.laws.members import ORDER
from metaspec.protocol import Backend
from metaspec.registry import Registration, registrations
from metaspec.trees import tree_map

CHECKS = {check.id: check for check in certification()}


def message(backend: Backend, law: str) -> str:
    check = CHECKS[law]
    return Running(backend).outcome(Case(check, check.dtypes[0])).message


class Unknown(NumpyBackend):
    """Not registered: what it overrides counts as native."""

    name = "unknown"


@pytest.mark.parametrize("law", [*ORDER, *(f"capability/{m}" for m in MEMBERS), "capability/names", "blocks-at-kinks"])
def test_a_sound_adapter_is_not_accused(law: str) -> None:
    assert message(Unknown(), law) == ""


class NoVersions(Unknown):
    def versions(self) -> Any:
        return {}


class LeakyPrecision(Unknown):
    @contextmanager
    def precision(self, dtype: str) -> Any:
        np.seterr(over="raise" if np.geterr()["over"] == "ignore" else "ignore")
        yield


class PrecisionOnce(Unknown):
    _context = contextmanager(lambda: (yield))()

    def precision(self, dtype: str) -> Any:
        return self._context


class DtypeIgnored(Unknown):
    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        return super().asarray(x, "float64" if dtype == "float32" else dtype)


class DtypeForgotten(Unknown):
    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        array = super().asarray(x, dtype)
        return array.astype("float64") if dtype is None and array.dtype == "int32" else array


class AnythingIsAnArray(Unknown):
    def is_array(self, x: Any) -> bool:
        return True


class Inexact(Unknown):
    def to_numpy(self, x: Any) -> Any:
        x = np.asarray(x)
        return x.astype("float32").astype(x.dtype) * (1 + 2.0**-20) if x.dtype.kind == "f" else x


class NeverConcrete(Unknown):
    def is_concrete(self, x: Any) -> bool:
        return False


class UnsortedKeys(Unknown):
    def tree_flatten(self, tree: Any) -> Any:
        leaves, structure = super().tree_flatten(tree)
        return leaves[::-1], structure


class Widening(Unknown):
    @property
    def xp(self) -> Any:
        sound = super().xp

        class Wide:
            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

            def where(self, condition: Any, x: Any, y: Any) -> Any:
                return sound.astype(sound.where(condition, x, y), sound.float64)

        return Wide()


class NoConcat(Unknown):
    @property
    def xp(self) -> Any:
        sound = super().xp
        return type("Namespace", (), {name: getattr(sound, name) for name in ("abs", "sum")})


class UnusedIsNoZero(Unknown):
    def value_and_grad(self, f: Any, has_aux: bool = False) -> Any:
        sound = super().value_and_grad(f, has_aux)

        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = sound(x, *args)
            return value, tree_map(self, lambda g: self.xp.where(g == 0, 1e-300, g), gradient)

        return wrapped


class OneDerivative(Unknown):
    """The gradient cannot be differentiated again."""

    def value_and_grad(self, f: Any, has_aux: bool = False) -> Any:
        sound = super().value_and_grad(f, has_aux)

        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = sound(x, *args)
            return value, self.stop_gradient(gradient)

        return wrapped


class AuxDropped(Unknown):
    def value_and_grad(self, f: Any, has_aux: bool = False) -> Any:
        sound = super().value_and_grad(f, has_aux)

        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = sound(x, *args)
            return (value[0], {"s": value[0], "n": None}) if has_aux else value, gradient

        return wrapped


class PullOnce(Unknown):
    def vjp(self, f: Any, *primals: Any) -> Any:
        value, pullback = super().vjp(f, *primals)
        calls: list[int] = []

        def once(u: Any) -> Any:
            calls.append(1)
            return pullback(u) if len(calls) == 1 else tree_map(self, lambda g: g * 2, pullback(u))

        return value, once


class PullConstant(Unknown):
    """The pull-back cannot be differentiated in its cotangent."""

    def vjp(self, f: Any, *primals: Any) -> Any:
        value, pullback = super().vjp(f, *primals)
        return value, lambda u: pullback(self.stop_gradient(u))


class StopsNothing(Unknown):
    def stop_gradient(self, tree: Any) -> Any:
        return tree


FAULTS: list[tuple[str, Callable[[], Backend], str]] = [
    ("member/versions", NoVersions, "a mapping of names to versions"),
    ("member/precision", PrecisionOnce, ""),
    ("member/precision_restores", LeakyPrecision, "settings are not as they were"),
    ("member/asarray", DtypeIgnored, "a float"),
    ("member/asarray", DtypeForgotten, "integers"),
    ("member/asarray", AnythingIsAnArray, "is_array"),
    ("member/to_numpy", Inexact, "shape (3,)"),
    ("member/is_concrete", NeverConcrete, "is_concrete(asarray(x)) is False"),
    ("member/trees", UnsortedKeys, "leaves in the order of sorted keys"),
    ("member/xp", Widening, "where"),
    ("member/xp_names", NoConcat, "missing: add, all"),
    ("member/value_and_grad", UnusedIsNoZero, "an unused leaf has zeros"),
    ("member/value_and_grad", OneDerivative, "second order"),
    ("member/value_and_grad", AuxDropped, "aux"),
    ("member/vjp", PullOnce, ""),
    ("member/vjp", PullConstant, "differentiated in u"),
    ("member/stop_gradient", StopsNothing, "first order"),
]


@pytest.mark.parametrize(("law", "fault", "words"), FAULTS, ids=[fault.__name__ for _, fault, _ in FAULTS])
def test_a_fault_is_caught_by_the_law_of_its_member(law: str, fault: Callable[[], Backend], words: str) -> None:
    with np.errstate():
        found = message(fault(), law)
    assert found
    assert words in found


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Registers the backend `unknown` with these capabilities."""

    def declare(**declared: Capability) -> None:
        ours = Registration("unknown", "a:B", (), (), "pip install a", capabilities=declared)
        known = {**registrations(), "unknown": ours}
        for module in (protocol, capabilities):
            monkeypatch.setattr(module, "registrations", lambda: known)

    return declare


SOUND = dict(numpy_registration.capabilities)
REASON = "its loops are unrolled by hand"


def test_native_must_be_overridden(declared: Callable[..., None]) -> None:
    declared(**SOUND)
    assert message(Unknown(), "capability/vmap") == ""
    assert "it is declared native, and there is no Derived.vmap" in message(Derived(), "capability/vmap")


def test_an_override_must_be_declared(declared: Callable[..., None]) -> None:
    declared(**{name: level for name, level in SOUND.items() if name != "vmap"})
    found = message(Unknown(), "capability/vmap")
    assert "it is not declared, so derived, but there is Unknown.vmap" in found


def wrong(name: str) -> Backend:
    """An adapter whose own member is off by a part in a million wherever it gives a number."""
    sound = getattr(Backend, name)

    def off(B: Backend, tree: Any) -> Any:
        if callable(tree):
            return lambda *args: off(B, tree(*args))
        if isinstance(tree, tuple) and any(callable(part) for part in tree):
            return tuple(off(B, part) for part in tree)
        return tree_map(B, lambda leaf: leaf * (1 + 1e-6) if "float" in str(leaf.dtype) else leaf, tree)

    return type("Wrong", (Unknown,), {name: lambda self, *args: off(self, sound(self, *args))})()


@pytest.mark.parametrize("name", MEMBERS)
def test_native_must_compute_what_is_derived(name: str, declared: Callable[..., None]) -> None:
    declared(**SOUND | {name: NATIVE})
    found = message(wrong(name), f"capability/{name}")
    assert "written out" in found
    assert "relative error 1.00e-06" in found


class Derived(Unknown):
    """What it has native is not overridden."""

    jvp, vmap, scan, checkpoint = Backend.jvp, Backend.vmap, Backend.scan, Backend.checkpoint


class NoScan(Unknown):
    def scan(self, *args: Any, **options: Any) -> Any:
        raise self.unsupported("scan")


class SilentScan(Unknown):
    def scan(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError


def test_unsupported_must_raise_with_its_reason(declared: Callable[..., None]) -> None:
    declared(**{**SOUND, "scan": Capability("unsupported", REASON)})
    assert message(NoScan(), "capability/scan") == ""
    assert "raises NotImplementedError" in message(SilentScan(), "capability/scan")
    assert "it is declared unsupported, and there is no Derived.scan" in message(Derived(), "capability/scan")
    with pytest.raises(ValueError, match="needs a reason"):
        Capability("unsupported")


def test_unsupported_that_works_is_a_failure(declared: Callable[..., None]) -> None:
    declared(**{**SOUND, "scan": Capability("unsupported", REASON)})
    works = type("Works", (Unknown,), {"scan": lambda self, *args: Backend.scan(self, *args)})()
    assert "it raises nothing" in message(works, "capability/scan")


def test_names_that_are_no_members(declared: Callable[..., None]) -> None:
    declared(**SOUND, pmap=NATIVE)
    assert "unknown: pmap; known: grad, jvp" in message(Unknown(), "capability/names")
