"""A rank of a real engine is killed at a random moment, again and again: nothing saved is lost, and no bit differs."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.ranks.mortal_rank import PAUSE, STEPS
from tests.ranks.test_engines import commands, has_engine

KILLS, SEED, LATEST = 5, 27, 8  # a kill comes in a round's first 8 steps, so 5 of them leave some of the training
BOUND = 60.0  # seconds in which the other rank has ended: 5 and its exit, or many more on a machine that is busy


def until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def trained(name, folder, rank=None, steps=0, delay=0.0):
    """Start two ranks, kill one `delay` seconds after it has begun so many steps, and return what each has said."""
    folder.mkdir(parents=True)
    programs, environment = commands(name, folder, "tests.ranks.mortal_rank")
    logs = [folder / f"stderr{index}" for index in range(len(programs))]
    processes = [
        subprocess.Popen(command, env=environment, stderr=log.open("w"))
        for command, log in zip(programs, logs, strict=True)
    ]
    try:
        joined = [folder / f"joined{index}" for index in (0, 1)]
        until(lambda: all(file.exists() for file in joined) or any(process.poll() for process in processes))
        if rank is not None:
            until(lambda: (folder / f"asked{rank}").stat().st_size >= steps)
            time.sleep(delay)
            os.kill(int(joined[rank].read_text()), signal.SIGKILL)
        for process in processes:
            process.wait(BOUND if rank is not None else 600)
    finally:
        for process in processes:
            process.kill()
    said = [folder / f"rank{index}.json" for index in (0, 1)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in said], [log.read_text() for log in logs]


@pytest.mark.soak
def test_kills_of_ranks_change_no_bit(backend, tmp_path):
    if not has_engine(backend):
        pytest.skip("NumPy's engine is MPI: pip install 'metaspec[mpi]' mpich")
    whole, errors = trained(backend, tmp_path / "whole" / "ranks")
    assert all(whole), errors
    assert whole[0]["params"] == whole[1]["params"]
    drawn = random.Random(SEED)
    for number in range(KILLS):
        rank, at = drawn.randrange(2), (drawn.randint(0, LATEST), drawn.uniform(0.0, 2 * PAUSE))
        ranks, errors = trained(backend, tmp_path / "killed" / f"round{number}", rank, *at)
        assert not any(ranks)
        named = (f"rank {rank} of 2 has ended", f"rank {1 - rank} of 2 has lost another ({rank})")
        if backend != "numpy":  # MPICH ends all ranks itself
            assert any(words in errors[1 - rank] for words in named), errors
    last, errors = trained(backend, tmp_path / "killed" / "last")
    assert [rank["steps"] for rank in last] == [STEPS] * 2, errors
    assert [rank["params"] for rank in last] == [whole[0]["params"]] * 2
