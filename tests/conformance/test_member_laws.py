"""The laws of members and capabilities can fail, beside the seeded faults: each is caught by the law of its member."""

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metaspec.backend import protocol
from metaspec.backend.capabilities import MEMBERS, NATIVE, Capability
from metaspec.backend.protocol import Backend
from metaspec.backend.registry import Registration, registrations
from metaspec.trees import tree_map
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.laws.members import optional_members as capabilities
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase
from metaspec_conformance.pytest_plugin.running import Running
from metaspec_numpy import registration as numpy_registration
from metaspec_numpy.adapter import NumpyBackend
from metaspec_numpy.tracer import Box

CHECKS = {check.id: check for check in certification()}


def message(backend: Backend, law: str) -> str:
    """Return what the law says in the first format in which it fails; "" where it holds in all."""
    check = CHECKS[law]
    messages = (Running(backend).outcome(CheckCase(check, dtype)).message for dtype in check.dtypes)
    return next(filter(None, messages), "")


class Unknown(NumpyBackend):
    """Not registered: what it overrides counts as native."""

    name = "unknown"


# That members are right is in test_laws; what this backend overrides, nobody has declared.
@pytest.mark.parametrize("law", [*(f"capability/{m}" for m in MEMBERS), "capability/names"])
def test_a_sound_adapter_is_not_accused(law: str) -> None:
    assert message(Unknown(), law) == ""


class LeakyPrecision(Unknown):
    @contextmanager
    def precision(self, dtype: str) -> Any:
        np.seterr(over="raise" if np.geterr()["over"] == "ignore" else "ignore")
        yield


class DtypeIgnored(Unknown):
    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        return super().asarray(x, "float64" if dtype == "float32" else dtype)


class AnythingIsAnArray(Unknown):
    def is_array(self, x: Any) -> bool:
        return True


class Inexact(Unknown):
    def to_numpy(self, x: Any) -> Any:
        x = np.asarray(x)
        return x.astype("float32").astype(x.dtype) * (1 + 2.0**-20) if x.dtype.kind == "f" else x


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


class OtherNamespace(Unknown):
    """The functions of `xp` with some of another kind."""

    def functions(self, xp: Any) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def xp(self) -> Any:
        sound = super().xp
        known = {name: getattr(sound, name) for name in dir(sound) if not name.startswith("__")}
        return SimpleNamespace(**known | self.functions(sound))


class NoCopyArgument(OtherNamespace):
    def functions(self, xp: Any) -> dict[str, Any]:
        return {"astype": lambda x, dtype: xp.astype(x, dtype)}


class Frozen(Unknown):
    """Looking at a traced array's values ends its derivative."""

    looked = False

    def is_concrete(self, x: Any) -> bool:
        return True

    def to_numpy(self, x: Any) -> Any:
        self.looked = self.looked or isinstance(x, Box)
        while isinstance(x, Box):
            x = x.value
        return super().to_numpy(x)

    @property
    def xp(self) -> Any:
        sound = super().xp
        known = {name: getattr(sound, name) for name in dir(sound) if not name.startswith("__")}
        return SimpleNamespace(**known | {"all": lambda x: True})

    def vjp(self, f: Callable[..., Any], *primals: Any) -> Any:
        value, pullback = super().vjp(f, *primals)
        return value, lambda u: tree_map(self, lambda g: 0 * g if self.looked else g, pullback(u))


class FromBefore(Frozen):
    """A traced array's values are those of another."""

    def to_numpy(self, x: Any) -> Any:
        found = super().to_numpy(x)
        return found if not isinstance(x, Box) else found + 1

    def vjp(self, f: Callable[..., Any], *primals: Any) -> Any:
        return Unknown.vjp(self, f, *primals)


class NoConcat(Unknown):
    @property
    def xp(self) -> Any:
        sound = super().xp
        return type("Namespace", (), {name: getattr(sound, name) for name in ("abs", "sum")})


class NoTrace(Unknown):
    @property
    def xp(self) -> Any:
        return SimpleNamespace(**vars(super().xp) | {"linalg": SimpleNamespace(solve=np.linalg.solve)})


class NoRoll(Unknown):
    @property
    def xp(self) -> Any:
        return SimpleNamespace(**vars(super().xp) | {"roll": self.roll})

    def roll(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("no roll")


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


FAULTS: list[tuple[str, Callable[[], Backend], str]] = [
    ("member/precision_restores", LeakyPrecision, "settings are not as they were"),
    ("member/asarray", DtypeIgnored, "a float"),
    ("member/asarray", AnythingIsAnArray, "is_array"),
    ("member/to_numpy", Inexact, "shape (3,)"),
    ("member/trees", UnsortedKeys, "leaves in the order of sorted keys"),
    ("member/xp", Widening, "where"),
    ("member/xp", NoCopyArgument, "copy"),
    ("member/xp_names", NoConcat, "missing: add, all"),
    ("member/xp_names", NoTrace, "linalg.outer, linalg.trace"),
    ("member/xp_standard", NoRoll, "ValueError: no roll [test_member_laws.py:"),
    ("member/values_within", Frozen, "second order"),
    ("member/values_within", FromBefore, "what was seen"),
    ("member/value_and_grad", UnusedIsNoZero, "an unused leaf has zeros"),
    ("member/value_and_grad", OneDerivative, "second order"),
    ("member/value_and_grad", AuxDropped, "aux"),
    ("member/vjp", PullOnce, ""),
    ("member/vjp", PullConstant, "differentiated in u"),
]


@pytest.mark.parametrize(("law", "fault", "words"), FAULTS, ids=[fault.__name__ for _, fault, _ in FAULTS])
def test_a_fault_is_caught_by_the_law_of_its_member(law: str, fault: Callable[[], Backend], words: str) -> None:
    with np.errstate():
        found = message(fault(), law)
    assert found
    assert words in found


def less_exact(name: str, f: Callable[[Any, Any], Any]) -> Backend:
    """A backend one of whose functions is f(xp, x)."""
    other = {"functions": lambda self, xp: {name: lambda x: f(xp, x)}}
    return type("LessExact", (OtherNamespace,), other)()


@pytest.mark.parametrize(
    ("name", "f", "words"),
    [
        ("sin", lambda xp, x: xp.astype(xp.sin(xp.astype(x, xp.float32)), x.dtype), "sin["),
        ("sinh", lambda xp, x: (xp.exp(x) - xp.exp(-x)) / 2, "sinh['-0.0001']"),
        ("expm1", lambda xp, x: xp.exp(x) - 1, "expm1['-0.0001']"),
        ("log1p", lambda xp, x: xp.log(1 + x), "log1p["),
        ("asinh", lambda xp, x: xp.log(x + xp.sqrt(x * x + 1)), "asinh["),
        ("tanh", lambda xp, x: xp.clip(x - x**3 / 3 + 2 * x**5 / 15, -1.0, 1.0), "tanh["),
        ("cos", lambda xp, x: xp.cos(x - 2 * 3.14159265 * xp.round(x / (2 * 3.14159265))), "cos["),
        ("exp", lambda xp, x: xp.stop_gradient(xp.exp(x)) * (1 + x - xp.stop_gradient(x)), "exp''["),
    ],
)
def test_a_function_with_fewer_digits_is_caught(name: str, f: Callable[[Any, Any], Any], words: str) -> None:
    """Fast sines, formulas that cancel or overflow, a series, a second derivative left out."""
    check = CHECKS["member/xp_functions"]
    found = [Running(less_exact(name, f)).outcome(CheckCase(check, dtype)).message for dtype in check.dtypes]
    assert any(words in message for message in found)


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
    """A backend that keeps the native members of the one that it derives from."""

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
