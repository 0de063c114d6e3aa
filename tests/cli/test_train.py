"""`metaspec train`: what it prints, what it keeps, what it refuses, an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import metaspec as ms
from metaspec.cli.app import build
from metaspec.experiments.run_folder import RunFolder
from metaspec.experiments.setup import experiment_of, initial_parameters
from metaspec.training import load_checkpoint
from tests.data.helpers import OMNIGLOT, needs_omniglot
from tests.processes import HEEDING_SIGNALS

METASPEC = [sys.executable, "-c", "from metaspec.cli import main; main()"]
COMMAND = [*METASPEC, "train"]


def metaspec(*args, cwd):
    return subprocess.run([*METASPEC, *args], capture_output=True, text=True, cwd=cwd, timeout=300)


def train(*args, cwd):
    return metaspec("train", *args, cwd=cwd)


def test_sinusoid_on_numpy_learns_and_is_kept(tmp_path):
    done = train("sinusoid", "--steps", "300", "--outer-lr", "0.01", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "sinusoid-maml-numpy-1"
    assert "before adaptation" in done.stdout
    run = json.loads((folder / "run.json").read_text())
    assert (run["config"]["backend"], run["config"]["seed"], run["steps_taken"]) == ("numpy", 3, 300)
    assert {"python", "numpy"} <= run["versions"].keys()
    trained, untrained = (run["results"][name]["loss_after"]["mean"] for name in ("trained", "untrained"))
    assert trained < untrained
    losses = [json.loads(line)["query_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 300
    assert {name: leaf.shape for name, leaf in load_file(folder / "params.safetensors").items()}["w1"] == (40, 40)
    figures = tmp_path / "figures.json"
    once = ["--inner-steps", "1"]
    judged = metaspec("evaluate", str(folder), *once, *once, "--json", str(figures), cwd=tmp_path)
    assert judged.returncode == 0, judged.stderr
    assert "1 inner step" in judged.stdout
    (again,) = json.loads(figures.read_text())["results"]
    assert again.pop("inner_steps") == 1
    assert again == run["results"]["trained"]


def test_killed_and_resumed_it_comes_to_the_same(tmp_path):
    (tmp_path / "run.toml").write_text('experiment = "mixture"\nsteps = 40\nevaluate_every = 10\nschedule = "cosine"\n')
    args = ["--config", "run.toml", "--steps", "30", "--checkpoint-every", "4", "--test-tasks", "25", "--resume"]
    quiet = train(*args, "--out", "quiet", cwd=tmp_path)
    assert quiet.returncode == 0, quiet.stderr
    process = subprocess.Popen([*COMMAND, *args, "--out", "shot"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    store, deadline = tmp_path / "shot" / "checkpoints", time.monotonic() + 60
    while not (store.exists() and list(store.glob("step-*"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    refused = train(*args, "--seed", "1", "--out", "shot", cwd=tmp_path)
    assert refused.returncode == 2
    assert "seed: the run in shot has 0, now it is 1" in refused.stderr
    resumed = train("--resume", "--out", "shot", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    for name in ("run.json", "metrics.jsonl", "params.safetensors"):
        assert (tmp_path / "shot" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes(), name
    saved = json.loads((tmp_path / "quiet" / "run.json").read_text())["config"]
    assert (saved["steps"], saved["evaluate_every"], saved["schedule"]) == (30, 10, "cosine")


def test_a_console_without_the_sign_gets_the_figures_all_the_same(tmp_path):
    command = [*COMMAND, "sinusoid", "--steps", "2", "--test-tasks", "2"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert " ? " in done.stdout


def test_digits(tmp_path):
    pytest.importorskip("sklearn")
    args = ["--filters", "2", "--steps", "2", "--queries", "2", "--test-tasks", "25", "--evaluate-every", "2"]
    done = train(
        "digits", *args, "--evaluate-tasks", "25", "--optimizer", "nesterov", "--clip-norm", "10", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy %" in done.stdout
    assert "after 2 steps, on 25 held-out tasks: metric" in done.stdout


def test_reptile_is_judged_from_the_mean_squares_that_it_carried(tmp_path):
    pytest.importorskip("sklearn")
    size = ["--filters", "1", "--ways", "2", "--queries", "1", "--inner-batch", "2", "--variants", "0"]
    size += ["--steps", "3", "--test-inner-steps", "2", "--test-tasks", "25"]
    done = train("digits", "--algorithm", "reptile", *size, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "run/run.json").read_text())["results"]["trained"]["loss_after"]["mean"]
    again = metaspec("evaluate", "run", "--json", "figures.json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["results"][0]
    settled = RunFolder.open(tmp_path / "run").config
    problem, start = experiment_of(settled), initial_parameters(settled, experiment_of(settled))
    algo = ms.Reptile(ms.Adam(settled.inner_lr, steps=2, b1=0.0))
    like = ms.initial_state(algo, start, backend="numpy")
    run = load_checkpoint(tmp_path / "run/checkpoints", start, inner_state=like, backend="numpy")
    carried, afresh = (
        ms.meta_test(algo, problem.network.loss, run.params, problem.test, tasks=25, state=state, backend="numpy")
        for state in (run.inner_state, None)
    )
    assert told == figures["loss_after"]["mean"] == carried.loss_after.mean != afresh.loss_after.mean
    assert run.inner_state.steps == 3 * settled.inner_steps


def test_divergence_is_told_and_what_was_good_is_kept(tmp_path):
    done = train("sinusoid", "--inner-lr", "1e30", "--inner-steps", "3", "--out", "run", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: outer step 0: task 0: the inner loop" in done.stderr
    assert "Traceback" not in done.stderr
    assert "diverged after 0 of 15000 steps" in done.stdout
    assert "--resume" not in done.stdout
    assert "outer step 0" in json.loads((tmp_path / "run" / "run.json").read_text())["diverged"]


def test_what_is_not_finite_at_the_end_is_a_failure_and_is_told(tmp_path):
    sizes = ["--steps", "2", "--test-tasks", "25", "--out", "run"]
    done = train("sinusoid", "--inner-lr", "1.2", *sizes, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "nan ± nan" in done.stdout
    assert "warning: meta_train: the query loss is" in done.stderr
    assert "error: trained, 10 inner steps: the query loss is" in done.stderr
    results = json.loads((tmp_path / "run" / "run.json").read_text(), parse_constant=pytest.fail)["results"]
    assert results["trained, 10 inner steps"]["loss_after"]["mean"] is None


def test_where_tensorboard_is_missing_no_folder_is_begun(tmp_path):
    blocked = "import sys; sys.modules['tensorboardX'] = None; from metaspec.cli import main; main()"
    args = ["train", "sinusoid", "--tensorboard", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", blocked, *args], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "TensorBoard: needs tensorboardX" in done.stderr
    assert list(tmp_path.iterdir()) == []


@needs_omniglot
def test_omniglot(tmp_path):
    args = ["--data", str(OMNIGLOT), "--filters", "4", "--steps", "3", "--test-tasks", "25", "--queries", "2"]
    for algorithm in ("maml", "imaml"):
        out = str(tmp_path / algorithm)
        done = CliRunner().invoke(build(), ["train", "omniglot", *args, "--algorithm", algorithm, "--out", out])
        assert done.exit_code == 0, done.output
        assert "accuracy %" in done.stdout
        results = json.loads((tmp_path / algorithm / "run.json").read_text())["results"]
        assert 0 <= results["trained"]["metric_after"]["mean"] <= 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["sinusoids"], "experiment: expected one of sinusoid, mixture"),
        (["omniglot"], "data: omniglot needs the folder"),
        (["sinusoid", "--algorithm", "mmaml"], "algorithm: expected one of maml, fomaml"),
        (["sinusoid", "--config", "taken/thesis.txt"], "thesis.txt: it is no TOML"),
        (["sinusoid", "--resume"], "--resume: say with --out which folder's run"),
        (["sinusoid", "--resume", "--out", "taken"], "taken exists and is not an empty folder"),
        (["sinusoid", "--backend", "abacus"], "'abacus' is not registered"),
        (["sinusoid", "--inner-lr", "-1"], "inner_lr: must be a finite number >= 0"),
        (["sinusoid", "--out", "taken"], "taken exists and is not an empty folder"),
        (["sinusoid", "--out", "taken/thesis.txt/run"], "taken/thesis.txt/run cannot be written: Not a directory"),
        (["--resume", "--out", "taken"], "--resume: there is no run in taken to go on with"),
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


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_trained(tmp_path, sent):
    command = [*HEEDING_SIGNALS, "train", "sinusoid", "--steps", "1000000", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = Path(tmp_path / "run" / "metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + sent, err
    assert "interrupted after" in out
    assert "Traceback" not in err
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert 0 < run["steps_taken"] == len(metrics.read_text().splitlines())
    assert load_file(tmp_path / "run" / "params.safetensors")
    assert "metaspec train --resume --out run" in out


def test_an_interrupt_of_a_finished_run_leaves_its_results(tmp_path):
    assert train("sinusoid", "--steps", "2", "--test-tasks", "25", "--out", "run", cwd=tmp_path).returncode == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    program = """
import metaspec.experiments.experiment_run as command
from metaspec.cli import main
def interrupted(*given, **named):
    raise KeyboardInterrupt
command.meta_train = interrupted
main()
"""
    again = [sys.executable, "-c", program, "train", "--resume", "--out", "run"]
    done = subprocess.run(again, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 130, done.stderr
    assert "interrupted after 2 of 2 steps" in done.stdout
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_help_has_an_example():
    done = train("--help", cwd=".")
    assert done.returncode == 0
    assert "metaspec train omniglot --data" in " ".join(done.stdout.split())
    assert "metaspec evaluate runs/" in " ".join(metaspec("evaluate", "--help", cwd=".").stdout.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "nowhere: there is no run in it (no run.json)"),
        (["file"], "file: there is no run in it (no run.json)"),
        (["odd"], "run.json: it does not describe a run: expected"),
        (["list"], "run.json: it does not describe a run: expected"),
        (["."], ".: there is no run in it (no run.json); there are some in its folders: list, new, odd"),
        (["z/burst"], "z/burst: its training diverged before the first checkpoint"),
        (["new"], "new: its training has left no checkpoint yet; to go on with it: metaspec train --resume --out new"),
        (["new", "--data", "x"], "--data: has no meaning for sinusoid; leave it out"),
        (["new", "--json", "nowhere/figures.json"], "--json: there is no folder"),
        (["nowhere", "--which", "first"], "--which: expected one of best, last, got 'first'"),
    ],
)
def test_evaluate_refuses(tmp_path, args, message):
    new = {"config": {"experiment": "sinusoid"}}
    burst = {**new, "diverged": "inner step 3"}
    for name, content in (("odd", {}), ("list", {"config": [1]}), ("new", new), ("z/burst", burst)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text(json.dumps(content))
    (tmp_path / "file").touch()
    done = metaspec("evaluate", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_application_can_be_built_again():
    first, again = (CliRunner().invoke(build(), ["train", "--help"]) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert first.output == again.output
