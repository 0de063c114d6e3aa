"""`metaspec train`: what it prints, what it keeps, what it refuses, an interrupt."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ..data.helpers import OMNIGLOT, needs_omniglot

COMMAND = [sys.executable, "-c", "from metaspec.cli import main; main()", "train"]


def train(*args, cwd):
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, cwd=cwd, timeout=300)


def test_sinusoid_on_numpy_learns_and_is_kept(tmp_path):
    done = train("sinusoid", "--steps", "300", "--outer-lr", "0.01", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "sinusoid-maml-numpy-1"
    assert "before adaptation" in done.stdout
    run = json.loads((folder / "run.json").read_text())
    assert (run["backend"], run["seed"], run["steps_taken"]) == ("numpy", 3, 300)
    trained, untrained = (run["results"][name]["loss_after"]["mean"] for name in ("trained", "untrained"))
    assert trained < untrained
    losses = [json.loads(line)["query_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 300
    with np.load(folder / "params.npz") as params:
        assert {name: leaf.shape for name, leaf in params.items()}["w1"] == (40, 40)
    again = train("sinusoid", "--steps", "300", "--outer-lr", "0.01", "--seed", "3", "--out", "mine", cwd=tmp_path)
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["results"] == run["results"], again.stderr


@needs_omniglot
def test_omniglot(tmp_path):
    args = ["--data", str(OMNIGLOT), "--filters", "4", "--steps", "3", "--test-tasks", "25", "--queries", "2"]
    for algorithm in ("maml", "imaml"):
        done = train("omniglot", *args, "--algorithm", algorithm, "--out", algorithm, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "accuracy %" in done.stdout
        results = json.loads((tmp_path / algorithm / "run.json").read_text())["results"]
        assert 0 <= results["trained"]["metric_after"]["mean"] <= 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["sinusoids"], "experiment: expected one of sinusoid, omniglot"),
        (["omniglot"], "--data: omniglot needs the folder"),
        (["sinusoid", "--algorithm", "mmaml"], "--algorithm: expected one of maml, fomaml"),
        (["sinusoid", "--backend", "abacus"], "'abacus' is not registered"),
        (["sinusoid", "--inner-lr", "-1"], "lr must be a finite number >= 0"),
        (["sinusoid", "--out", "taken"], "taken exists and is not an empty folder"),
    ],
)
def test_refusals(tmp_path, args, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    done = train(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "thesis.txt"]


def test_an_interrupt_keeps_what_was_trained(tmp_path):
    command = [*COMMAND, "sinusoid", "--steps", "1000000", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = Path(tmp_path / "run" / "metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted after" in out
    assert "Traceback" not in err
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert 0 < run["steps_taken"] == len(metrics.read_text().splitlines())
    assert (tmp_path / "run" / "params.npz").exists()


def test_help_has_an_example():
    done = train("--help", cwd=".")
    assert done.returncode == 0
    assert "metaspec train omniglot --data" in " ".join(done.stdout.split())
