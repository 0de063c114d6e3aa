"""Whatever is in a run's folder: `report`, `evaluate`, `train --resume` read it, or say in a line what is wrong."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from metaspec.cli.app import build
from metaspec.errors import InvalidArgumentError, MetaspecError
from metaspec.experiments.run_folder import RunFolder
from metaspec.experiments.run_record import read
from metaspec.experiments.runs_page import of_runs
from tests.training import attacks

SETTINGS = ["--steps", "4", "--checkpoint-every", "2", "--evaluate-every", "2", "--evaluate-tasks", "4"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = CliRunner().invoke(build(), ["train", "sinusoid", *SETTINGS, "--test-tasks", "4", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "pictures" / "adaptation.svg").write_text(SVG)
    assert [step.step for step in read(folder).history] == [0, 1, 2, 3]
    return folder


def invoked(*arguments):
    """The output; the errors that the command line shows in one line are no failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(build(), arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit | MetaspecError | OSError):
        raise done.exception
    return done


def attacked(rng, folder):
    names = ["run.json", "metrics.jsonl", "pictures/adaptation.svg", "params.safetensors"]
    file, what = folder / names[rng.integers(4)], rng.integers(4)
    if what == 0:
        attacks.odd_file(rng, file)
    elif what == 1 or file.suffix in (".svg", ".safetensors"):
        file.write_bytes(attacks.damaged_bytes(rng, file.read_bytes()))
    elif file.suffix == ".json":
        file.write_text(json.dumps(attacks.mutated(rng, json.loads(file.read_bytes()))))
    else:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in attacks.mutated(rng, lines)))
    return file.name


def check_random_attacks(genuine, folder, seeds):
    """Attack a run's folder once for each seed; count what could be shown all the same."""
    shown = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(genuine, folder)
        name = attacked(rng, folder)
        try:
            assert "<html" in str(of_runs([folder]))
            shown += 1
        except MetaspecError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}") from error
        if name != "run.json":
            assert RunFolder.open(folder).finished, f"seed {seed}"
    return shown


def test_random_damages_and_forgeries(genuine, tmp_path):
    assert 20 < check_random_attacks(genuine, tmp_path / "run", range(150)) < 130


@pytest.mark.soak
def test_many_random_damages_and_forgeries(genuine, tmp_path):
    check_random_attacks(genuine, tmp_path / "run", range(1000, 4000))


def test_commands_say_what_is_wrong_in_one_line(genuine, tmp_path):
    for seed in range(12):
        rng, folder = np.random.default_rng(seed), tmp_path / str(seed)
        shutil.copytree(genuine, folder)
        if seed % 2:
            attacks.odd_file(rng, folder / "run.json")
        else:
            attacks.odd_file(rng, folder / "checkpoints" / "step-00000004")
            attacks.odd_file(rng, folder / "checkpoints" / "step-00000002" / "state.json")
        for command in (["evaluate", str(folder), "--tasks", "4"], ["train", "--resume", "--out", str(folder)]):
            done = invoked(*command)
            assert done.exit_code != 0, f"seed {seed}, {command}: {done.output}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "nested more than 64 levels deep"),
        (b'{"config": {}, "config": {}}', "a key is given twice"),
        (b'{"config": {"experiment": "sinusoid", "seed": 1e999}}', "seed: must be an integer"),
        (b'{"config": {"experiment": "sinusoid", "inner_lr": 1' + b"0" * 400 + b"}}", "inner_lr: must be"),
        (b'{"config": {"experiment": "sinusoid", "steps": 1' + b"0" * 400 + b"}}", r"steps: must be at most 2\^64 - 1"),
        (b'{"config": {"' + b"x" * 1_000_000 + b'": 1}}', "there is no such setting"),
        (b"\xff\xfe{}", "can't decode byte"),
    ],
)
def test_forged_settings_are_named(genuine, tmp_path, content, message):
    shutil.copytree(genuine, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=f"run.json: it does not describe a run: .*{message}") as caught:
        RunFolder.open(tmp_path / "run")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", b'{"step": 0, "query_loss": 1}\n[1]\n', "line 2.*expected an object"),
        (
            "metrics.jsonl",
            b'{"step": 1, "query_loss": 1}\n{"step": 1, "query_loss": 1}\n',
            "line 2.*>= 2, got 1",
        ),
        ("metrics.jsonl", b'{"step": true, "query_loss": 1}\n', "line 1.*integer >= 0, got True"),
        ("metrics.jsonl", b'{"step": 0, "query_loss": 1' + b"0" * 400 + b"}\n", "line 1.*float64's range"),
        (
            "metrics.jsonl",
            b'{"steps": 0, "evaluation": {"tasks": 2, "loss_before": 3}}\n',
            "line 1.*loss_before",
        ),
        ("metrics.jsonl", b'{"steps": 0, "evaluation": 1}\n', "line 1.*the figures of a report"),
        ("pictures/adaptation.svg", b"<svg onload='x'></svg>", "no SVG picture of metaspec"),
        ("pictures/adaptation.svg", b"<svg>", "no SVG picture of metaspec"),
    ],
)
def test_forged_figures_are_named(genuine, tmp_path, file, content, message):
    shutil.copytree(genuine, tmp_path / "run")
    (tmp_path / "run" / file).write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=f"{file}.*{message}"):
        of_runs([tmp_path / "run"])


FULL = """
import resource
from metaspec.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
main()
"""


def test_a_full_disk_is_told_with_the_command_to_go_on(genuine, tmp_path):
    folder = tmp_path / "my run"
    shutil.copytree(genuine, folder)
    shutil.rmtree(folder / "checkpoints" / "step-00000004")  # the state after 2 steps is what there is
    before = {path.name: path.read_bytes() for path in (folder / "checkpoints" / "step-00000002").iterdir()}
    limit = (folder / "checkpoints" / "step-00000002" / "state.safetensors").stat().st_size - 100
    command = [sys.executable, "-c", FULL.format(limit=limit), "train", "--resume", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "state.safetensors: File too large" in done.stderr
    assert f"metaspec train --resume --out '{folder}'" in done.stderr
    assert "Traceback" not in done.stderr
    left = folder / "checkpoints"
    assert [path.name for path in left.iterdir()] == ["step-00000002"], "something unfinished was left"
    assert {path.name: path.read_bytes() for path in (left / "step-00000002").iterdir()} == before
    assert invoked("train", "--resume", "--out", str(folder)).exit_code == 0
    assert [step.step for step in read(folder).history] == [0, 1, 2, 3]
