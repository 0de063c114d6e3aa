"""Two processes over each backend's engine give what one gives, and the same bits in both."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
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


def free_ports(count):
    """A port that is free, and so are the next ones."""
    while True:
        with ExitStack() as stack, suppress(OSError):
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for following in range(port + 1, port + count):
                stack.enter_context(socket.create_server(("127.0.0.1", following)))
            return port


def commands(name, folder, module, count=2):
    """What starts the ranks, and their environment."""
    named = [name] if module != "tests.ranks.sharded_rank" else []
    program = [sys.executable, "-m", module, *named, str(folder)]
    if name == "numpy":
        command, libraries = mpiexec()
        return [[command, "-n", str(count), *program]], os.environ | {"LD_LIBRARY_PATH": libraries}
    more = [str(count)] if module == "tests.ranks.long_rank" else []
    port = free_ports(count)
    ranks = [[*program, str(rank), str(port), *more] for rank in range(count)]
    return ranks, os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def run_ranks(name, folder, module="tests.ranks.engine_rank", count=2, timeout=300):
    programs, environment = commands(name, folder, module, count)
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in programs]
    try:
        for process in processes:
            error = process.communicate(timeout=timeout)[1]
            assert process.returncode == 0, error[-2000:]
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(count)]


def has_engine(name):
    return name != "numpy" or (util.find_spec("mpi4py") and mpiexec()[0])


def test_parameters_that_two_ranks_hold_together(tmp_path):
    pytest.importorskip("torch")
    first, second = run_ranks("torch", tmp_path, "tests.ranks.sharded_rank")
    assert first == second
    errors = {name: first.pop(name) for name in ("fomaml", "maml", "adam", "reptile", "imaml")}
    assert max(errors.values()) < 16 * 64 * EPS, errors  # the error model, with an amplification of at most 64
    assert "spread the batch over the mesh too" in first["plain batch"]
    assert "need whole parameters" in first["shared out"]
    assert "Leave fully_shard out" in first["fsdp"]


def test_two_ranks_give_what_one_gives(backend, tmp_path):
    if not has_engine(backend):
        pytest.skip("NumPy's engine is MPI: pip install 'metaspec[mpi]' mpich")
    first, second = ranks = run_ranks(backend, tmp_path)
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


@pytest.mark.soak
@pytest.mark.parametrize("count", [2, 4])
def test_a_thousand_steps_by_several_ranks_are_those_of_one(backend, count, tmp_path):
    """Five tasks a step, so shares are ragged; each step's rounding may grow as a change of the start grows."""
    if not has_engine(backend):
        pytest.skip("NumPy's engine is MPI: pip install 'metaspec[mpi]' mpich")
    ranks = run_ranks(backend, tmp_path, "tests.ranks.long_rank", count, timeout=1800)
    assert [rank["count"] for rank in ranks] == [count] * count
    assert [rank["steps"] for rank in ranks] == [1000] * count
    assert all(rank["params"] == ranks[0]["params"] for rank in ranks)
    print(f"{backend}, {count} ranks: error {ranks[0]['error']:.1e}, growth {ranks[0]['growth']:.1f}")
    assert 0 < ranks[0]["error"] < 16 * 1000 * ranks[0]["growth"] * EPS
