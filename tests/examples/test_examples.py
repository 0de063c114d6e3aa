"""Every example runs, and agrees with the framework's own backpropagation where it has a native model."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import metaspec as ms

FOLDER = Path(__file__).parents[2] / "examples"
NATIVE = {
    "torch_module": "torch",
    "resnet12": "torch",
    "flax_linen": "flax",
    "flax_nnx": "flax",
    "equinox_module": "equinox",
    "keras_model": "keras",
}
NEEDS = {"torch": ("torch",), "flax": ("jax", "flax"), "equinox": ("jax", "equinox"), "keras": ("tensorflow", "keras")}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NATIVE)
def test_native_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [need for need in NEEDS[NATIVE[name]] if importlib.util.find_spec(need) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if name == "keras_model":
        monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
        if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "tensorflow":
            pytest.skip("Keras was imported with another backend in this process")
    distances, history = load(name).main()
    assert distances["MAML"] < 1e-5
    assert distances["FOMAML"] > 0.1, "the example could not tell MAML from FO-MAML"
    assert history[-1] < history[0]


def test_quickstart_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METASPEC_BACKEND", raising=False)
    try:
        before, after = load("quickstart").main()
    finally:
        ms.set_backend(None)
    assert after < 0.8 * before


def test_quickstart_gives_the_same_on_every_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASPEC_BACKEND", "set: the example chooses nothing")
    quickstart = load("quickstart")
    monkeypatch.setattr(quickstart, "STEPS", 3)
    with ms.backend_context("numpy"):
        expected = quickstart.main()
    with ms.backend_context(backend):
        assert quickstart.main() == pytest.approx(expected, rel=1e-4)


def test_ranks_on_a_ray_cluster_train_as_one_process(tmp_path: Path) -> None:
    """Ray is in none of the extras: this runs where it is installed."""
    pytest.importorskip("ray")
    pytest.importorskip("torch")
    command = [sys.executable, str(FOLDER / "ray_ranks.py")]
    environment = os.environ | {"HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}  # it writes a token there
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = [line.split(": ") for line in done.stdout.splitlines() if line.startswith("rank ")]
    assert (first[0], second[0]) == ("rank 0 of 2", "rank 1 of 2")
    assert first[1] == second[1]
    net, algo = ms.nn.sinusoid_mlp(), ms.MAML(ms.GradientDescent(lr=0.01, steps=1))
    alone = ms.meta_train(algo, net.loss, net.init(seed=0), ms.data.Sinusoid(), steps=20, backend="torch")
    steps, query_loss = first[1].split(" steps, query loss ")
    assert int(steps) == alone.steps
    assert float(query_loss) == pytest.approx(alone.history[-1].query_loss, rel=2**9 * 2.0**-23)
