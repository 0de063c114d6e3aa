"""`metaspec bench` as it is called."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metaspec.cli import main
from tests.processes import HEEDING_SIGNALS, alive, awaited_children


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "inf"], "--seconds: expected a number of seconds, got inf"),
        (["--workload", "W1,"], "--workload: expected names joined by commas, got 'W1,'"),
        (["--workload", "W1,W1"], "--workload: 'W1' is given twice"),
        (["--framework", "numpy,"], "--framework: expected names joined by commas, got 'numpy,'"),
        (["--json", "."], "--json: expected a file, . is a folder"),
        (["--json", "no/such/run.json"], "--json: there is no folder"),
    ],
)
def test_command_refuses(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["metaspec", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(not Path("/proc").exists(), reason="the system does not say what a process started")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_interrupt_ends_the_worker(sent):
    arguments = ["bench", "--workload", "k64", "--framework", "numpy", "--seconds", "1000"]
    process = subprocess.Popen(HEEDING_SIGNALS + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = awaited_children(process.pid)
    assert started
    time.sleep(3)  # it is at work: before, it would end by itself
    process.send_signal(getattr(signal, sent))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + getattr(signal, sent)
    assert "Traceback" not in errors
    assert not any(map(alive, started))


def test_command(tmp_path):
    file = tmp_path / "bench.json"
    arguments = ["bench", "--quick", "--workload", "W1", "--framework", "numpy", "--seconds", "0", "--json", str(file)]
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("numpy 1/1: MLP 1-40-40-1, 25 tasks, K = 5", "hand-derived", "of limit", "numpy: numpy "):
        assert word in done.stdout
    figures = json.loads(file.read_text())
    assert {record["form"] for record in figures["records"]} >= {"metaspec", "metaspec, eager", "gradient, query"}
    assert all(record["median"] > 0 for record in figures["records"] if record["problem"] is None)
    assert figures["versions"]["numpy"]["numpy"] == np.__version__
