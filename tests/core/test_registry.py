"""Which backends there are, that listing and importing load no framework, facades."""

import subprocess
import sys

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from metaspec.backend import registry
from metaspec.backend import selection as choice
from tests.core.problems import mlp, mlp_loss

FRAMEWORKS = ("jax", "torch", "tensorflow")


def python(code, **env):
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_and_listing_load_no_framework():
    code = f"import sys, metaspec as ms; ms.list_backends(); print([m for m in {FRAMEWORKS} if m in sys.modules])"
    assert python(code) == "[]"


def test_listing_says_what_there_is():
    status = {s.name: s for s in ms.list_backends()}
    assert {"numpy", "jax", "torch", "tensorflow"} <= set(status)
    assert status["numpy"].installed
    assert status["numpy"].versions == {"numpy": np.__version__}
    assert status["numpy"].dtypes == ("float32", "float64", "longdouble")
    assert status["numpy"].capabilities["vmap"].level == "native"
    assert status["numpy"].capabilities["linear_solve"].level == "derived"


def test_the_array_api_strict_namespace_is_a_backend_by_instance():
    strict = pytest.importorskip("array_api_strict")
    B = type(ms.get_backend("numpy"))(strict)
    params, task = mlp()
    algo = ms.MAML(ms.GradientDescent(0.1, 2))
    p, t = ms.asarray((params, task), backend=B)
    delta = ms.meta_gradient(algo, mlp_loss, p, t, backend=B).delta
    expected = ms.meta_gradient(algo, mlp_loss, params, task).delta
    for key in params:
        assert type(delta[key]) is type(strict.asarray(0.0))
        np.testing.assert_allclose(np.asarray(delta[key]), expected[key], rtol=1e-12)


def test_facade(backend):
    import importlib

    facade = importlib.import_module(f"metaspec.{backend}")
    assert facade.backend.name == backend
    assert facade.MAML is ms.MAML
    value = facade.asarray({"w": 1.0}, dtype="float32")["w"]
    assert facade.backend.is_array(value)
    assert "backend: " in facade.meta_gradient.__doc__


def test_a_module_that_is_no_backend_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        import metaspec.abacus  # noqa: F401


def test_missing_framework(monkeypatch):
    ghost = ms.Registration(
        "ghost", "nowhere:Ghost", ("no_such_framework",), ("no_such_framework",), "pip install ghost"
    )
    for module in (registry, choice):
        monkeypatch.setattr(module, "registrations", lambda: {"ghost": ghost})
    with pytest.raises(errors.BackendNotInstalledError, match="needs no_such_framework.*run: pip install ghost"):
        choice._load.__wrapped__("ghost")
    assert not ms.list_backends()[0].installed
    assert ms.list_backends()[0].versions == {}


class Entry:
    def __init__(self, name, value, target):
        self.name, self.value, self._target = name, value, target

    def load(self):
        return self._target


@pytest.mark.parametrize("entries", ["two", "misnamed", "no registration"])
def test_entry_points_that_clash(monkeypatch, entries):
    def registration(name):
        return ms.Registration(name, "a:B", (), (), "pip install a")

    found = {
        "two": [Entry("mine", "a:r", registration("mine")), Entry("mine", "b:r", registration("mine"))],
        "misnamed": [Entry("mine", "a:r", registration("other"))],
        "no registration": [Entry("mine", "a:r", object())],
    }[entries]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: found)
    with pytest.raises(errors.BackendConflictError, match="mine"):
        registry.registrations.__wrapped__()


def test_the_former_name_of_the_conformance_package_is_the_same_module():
    code = (
        "from metaspec.conformance.audit import Problem\n"
        "import metaspec.conformance, metaspec_conformance.audit as audit\n"
        "assert Problem is audit.Problem and metaspec.conformance.audit is audit\n"
        "assert audit.__spec__.name == audit.__name__ == 'metaspec_conformance.audit'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
