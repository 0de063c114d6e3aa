"""The adapter of another package: found, chosen and certified with no edit of metaspec."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import installed, with_path

PROJECT = Path(__file__).parents[2] / "examples" / "autograd_adapter"
VERIFY = [sys.executable, "-c", "from metaspec.cli import main; main()", "verify", "autograd"]
SUBSET = ("--scenario", "least-squares/*", "--dtype", "float32")
USE = """
import autograd.numpy as np, metaspec as ms, metaspec.autograd as bound

loss = lambda p, batch: np.mean((np.tanh(batch["x"] * p["w"]) - batch["y"]) ** 2)
task = ms.Task(*({"x": np.ones(3) * k, "y": np.ones(3)} for k in (1.0, 2.0)))
algo = ms.MAML(ms.GradientDescent(0.1, 3))
params = {"w": np.asarray(400.0)}
found = bound.meta_gradient(algo, loss, params, task).delta["w"]
portable = lambda p, batch: ms.nn.mean_squared_error(ms.nn.tanh(batch["x"] * p["w"]), batch["y"])
assert found == bound.meta_gradient(algo, portable, params, task).delta["w"]
assert ms.get_backend("autograd").name == "autograd"
assert ms.meta_gradient(algo, portable, params, task).delta["w"].dtype == "float64"  # arrays of NumPy: its backend
def writes(x):
    h = x * 2.0
    h += 1.0
    return np.sum(h)
try:
    ms.get_backend("autograd").value_and_grad(writes)(np.ones(3))
except TypeError as error:
    assert "x = x + y in place of x += y" in str(error)
else:
    raise AssertionError("NumPy writes to h where autograd binds another array")
print(found)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if find_spec("autograd") is None:
        pytest.skip("autograd is not installed")
    return Path(shutil.copytree(PROJECT, tmp_path / "adapter", ignore=shutil.ignore_patterns("build", "*.egg-info")))


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_adapter_from_outside_is_certified(project: Path, tmp_path: Path) -> None:
    with installed(project) as environment:
        said = run([*VERIFY, *SUBSET, "--json", "report.json"], tmp_path, environment)
        assert "all agree" in said
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["passed"]
        assert report["versions"]["autograd"].keys() == {"autograd", "numpy"}
        assert len(report["outcomes"]) >= 16
        members = ["--metaspec-scenarios", "member/*"]
        assert "failed" not in run([sys.executable, "-m", "pytest", "-q", *members], project, environment)
        assert "autograd" in run([*VERIFY[:-2], "backends"], tmp_path, environment)
        assert float(run([sys.executable, "-W", "error", "-c", USE], tmp_path, environment)) == 0.0


@pytest.mark.soak
def test_it_installs_and_the_whole_suite_agrees(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(project)]
    subprocess.run(pip, check=True, timeout=600)
    assert "all agree" in run(VERIFY, tmp_path, with_path(target))
