"""Two processes over each backend's engine give what one gives, and the same bits in both."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path

import pytest

EPS = 2.0**-52


def mpiexec():
    """The command of the wheel `mpich`, with the folder of its library; else the system's."""
    try:
        files = [Path(str(file.locate())).resolve() for file in metadata.files("mpich") or []]
    except metadata.PackageNotFoundError:
        return shutil.which("mpiexec"), ""
    library = next(file.parent for file in files if file.name == "libmpi.so")
    return next(str(file) for file in files if file.name == "mpiexec"), str(library)


def two_free_ports():
    """A port that is free, and so is the next one."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first, suppress(OSError):
            port = first.getsockname()[1]
            with socket.create_server(("127.0.0.1", port + 1)):
                return port


def run_two(name, folder, module="tests.ranks.engine_rank"):
    named = [name] if module == "tests.ranks.engine_rank" else []
    program = [sys.executable, "-m", module, *named, str(folder)]
    if name == "numpy":
        command, libraries = mpiexec()
        environment = os.environ | {"LD_LIBRARY_PATH": libraries}
        commands = [[command, "-n", "2", *program]]
    else:
        port, environment = two_free_ports(), os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        commands = [[*program, str(rank), str(port)] for rank in (0, 1)]
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    try:
        for process in processes:
            error = process.communicate(timeout=300)[1]
            assert process.returncode == 0, error[-2000:]
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_parameters_that_two_ranks_hold_together(tmp_path):
    pytest.importorskip("torch")
    first, second = run_two("torch", tmp_path, "tests.ranks.sharded_rank")
    assert first == second
    errors = {name: first.pop(name) for name in ("fomaml", "maml", "adam", "reptile", "imaml")}
    assert max(errors.values()) < 16 * 64 * EPS, errors  # the error model, with an amplification of at most 64
    assert "spread the batch over the mesh too" in first["plain batch"]
    assert "need whole parameters" in first["shared out"]
    assert "Leave fully_shard out" in first["fsdp"]


def test_two_ranks_give_what_one_gives(backend, tmp_path):
    if backend == "numpy" and not (util.find_spec("mpi4py") and mpiexec()[0]):
        pytest.skip("NumPy's engine is MPI: pip install 'metaspec[mpi]' mpich")
    first, second = ranks = run_two(backend, tmp_path)
    for rank in ranks:
        assert rank["count"] == 2
        assert rank["delta"] < 2**6 * EPS
        assert rank["loss"] < 2**4 * EPS
        assert rank["ops"] == {"sum": 1.0, "max": 1.0, "min": 0.0}
        assert rank["error"] < 2**12 * EPS  # four steps of Adam
        assert rank["goals"][0] == pytest.approx(rank["goals"][1], rel=2**12 * EPS)
    assert first["params"] == second["params"]
    assert first["goals"][0] == second["goals"][0]
    assert first["broken"].startswith("NonFiniteError: rank 1 of 2 failed: NonFiniteError: task 0: ")
    assert second["broken"].startswith("NonFiniteError: task 0: ")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
