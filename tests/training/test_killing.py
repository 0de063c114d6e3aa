"""A training that is killed (SIGKILL) at random moments ends with the bits of one that is not. See killing.py."""

import os
import subprocess
import sys

import pytest

from tests.conftest import fewer_compiled

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked, which this system cannot do")
KILLS = {"numpy": 20}  # in every run; others, which import or compile in each child, fewer, or in long runs alone
MANY = {"numpy": 300}


def killed(backend, kills, seed, folder):
    command = [sys.executable, "-m", "tests.training.killing", backend, str(kills), str(seed), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert f"{kills} kills" in done.stdout


@pytest.mark.parametrize(("backend", "kills"), fewer_compiled([1], []))
def test_killed_and_gone_on_with(backend, kills, tmp_path):
    killed(backend, KILLS.get(backend, kills), 1, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [2, 3])
def test_killed_many_times(backend, seed, tmp_path):
    killed(backend, MANY.get(backend, 20), seed, tmp_path)
