"""Messages that name what was meant: nearest names, formats that differ, pictures with their axes elsewhere."""

import re
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors, nn, plots
from metaspec.experiments.config import effective

MAML = ms.MAML(ms.GradientDescent(0.1, 1))
BACKENDS = [status.name for status in ms.list_backends() if status.installed]


@pytest.mark.parametrize(("given", "meant"), [("tensorfow", "tensorflow"), ("Torch", "torch"), ("nunpy", "numpy")])
def test_the_nearest_backend_is_named(given: str, meant: str) -> None:
    with pytest.raises(errors.UnknownBackendError, match=f"did you mean '{meant}'"):
        ms.get_backend(given)


def test_nothing_near_is_not_guessed() -> None:
    with pytest.raises(errors.UnknownBackendError) as caught:
        ms.get_backend("something else")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "meant"),
    [
        ({"experiment": "sinusiod"}, "sinusoid"),
        ({"experiment": "sinusoid", "algorithm": "imalm"}, "imaml"),
        ({"experiment": "sinusoid", "optimizer": "adamww"}, "adamw"),
        ({"experiment": "sinusoid", "schedule": "cosin"}, "cosine"),
    ],
)
def test_the_nearest_setting_is_named(settings: dict[str, Any], meant: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=f"did you mean '{meant}'"):
        effective(settings)


def test_the_nearest_option_is_named() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="did you mean 'recompute'"):
        ms.MAML(ms.GradientDescent(0.1, 1), checkpoint="recompte")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channels", "shape", "words"),
    [
        (3, (5, 8, 8), "without an axis of channels"),
        (3, (5, 3, 8, 8), "channels come last here"),
        (1, (5, 1, 8, 8), "channels come last here"),
        (1, (5, 8, 8, 3), "channels=3"),
        (1, (8, 8), "one picture alone"),
    ],
)
def test_pictures_with_their_axes_elsewhere(channels: int, shape: tuple[int, ...], words: str) -> None:
    net = nn.ConvNet(5, 4, blocks=2, channels=channels)
    with pytest.raises(errors.InvalidArgumentError, match=words) as caught:
        net.apply(net.init(0), np.zeros(shape, "float32"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("backend", [name for name in ("torch", "tensorflow") if name in BACKENDS])
def test_parameters_in_float64_and_data_in_float32(backend: str) -> None:
    def loss(p: Any, batch: Any) -> Any:
        return (batch["x"] @ p["w"])[0, 0]

    p = ms.asarray({"w": np.ones((3, 1))}, backend=backend)
    batch = ms.asarray({"x": np.ones((4, 3), "float32")}, backend=backend)
    with pytest.raises(errors.LossError, match=r"float64.*float32.*asarray\(batch, dtype") as caught:
        ms.meta_gradient(MAML, loss, p, ms.Task(batch, batch))
    assert len(str(caught.value).splitlines()) == 1
    own = nn.MLP((3, 4, 1))
    batch |= {"y": ms.asarray(np.ones((4, 1), "float32"), backend=backend)}
    delta = ms.meta_gradient(
        MAML, own.loss, ms.asarray(own.init(0, "float64"), backend=backend), ms.Task(batch, batch)
    ).delta
    assert ms.get_backend(backend).dtype_name(delta["w0"]) == "float64"


def test_another_error_of_the_loss_stays_as_it_is() -> None:
    p, batch = {"w": np.ones(3)}, {"x": np.ones((4, 3))}
    with pytest.raises(ZeroDivisionError):
        ms.meta_gradient(MAML, lambda p, b: 1 / 0, p, ms.Task(batch, batch))


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])  # whose error names the shapes
def test_what_the_loss_was_given_is_a_note_of_what_it_raised(backend: str) -> None:
    def loss(p: Any, batch: Any) -> Any:
        return (batch["x"][0, 0] @ p["w"])[0]  # 5 columns, and 3 rows

    p = ms.asarray({"w": np.ones((3, 1), "float32")}, backend=backend)
    batch = ms.asarray({"x": np.ones((2, 4, 5), "float32")}, backend=backend)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each framework has its own)
        ms.meta_gradient(MAML, loss, p, ms.Task(batch, batch))
    notes = "\n".join(caught.value.__notes__)  # JAX has one of its own
    assert notes.count("given the batch ['x'] float32 (2, 4, 5)") == 1
    assert notes.count('channels="first"') == 1


@pytest.mark.parametrize(
    ("module", "wrong", "meant"),
    [
        (ms, "MALM", "MAML"),
        (ms.data, "Sinsoid", "Sinusoid"),
        (ms.nn, "ConvNt", "ConvNet"),
        (ms.training, "Adm", "Adam"),
        (plots, "adaptation_curve", "adaptation_curves"),
    ],
)
def test_the_nearest_public_name_is_told(module: Any, wrong: str, meant: str) -> None:
    said = f"module '{module.__name__}' has no attribute '{wrong}' (did you mean '{meant}'?)"
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(module, wrong)


def test_an_audit_of_a_framework_that_is_not_installed_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from metaspec.backend import registry
    from metaspec_conformance.audit import audit

    monkeypatch.setattr(registry, "find_spec", lambda module: None)
    with pytest.raises(errors.BackendNotInstalledError, match="pip install"):
        audit(lambda params: params, framework="torch")
    assert issubclass(errors.BackendNotInstalledError, errors.MetaspecError), "the command then exits with 2"


@pytest.mark.parametrize(
    ("backend", "f", "instead"),
    [
        ("tensorflow", lambda x: x.T, r"xp\.permute_dims\(x, axes\)"),
        ("tensorflow", lambda x: x.size, r"math\.prod\(x\.shape\)"),
        ("tensorflow", lambda x: x.sum(), r"xp\.sum\(x, \.\.\.\)"),
        ("torch", lambda x: x.permute_dims((1, 0)), r"xp\.permute_dims\(x, \.\.\.\)"),
        ("jax", lambda x: x.tanh(), r"xp\.tanh\(x, \.\.\.\)"),
    ],
)
def test_what_every_backend_has_is_named_where_an_array_lacks_an_attribute(backend: str, f: Any, instead: str) -> None:
    if backend not in BACKENDS:
        pytest.skip(f"{backend} is not installed")
    params = ms.asarray({"x": np.ones((2, 2), "float32")}, backend=backend)
    with pytest.raises(errors.LossError, match=f"backend '{backend}' has no attribute.*{instead} works on every"):
        ms.meta_gradient(MAML, lambda p, b: f(p["x"]), params, ms.Task(params, params), backend=backend)
