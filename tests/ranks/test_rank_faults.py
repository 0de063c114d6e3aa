"""A rank that fails: every rank ends, in a bounded time, with a message that names it, and nothing saved is lost."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.ranks.pair import STEPS

EPS = 2.0**-52


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair") / "cases"
    subprocess.run([sys.executable, "-m", "tests.ranks.pair", str(folder)], check=True, timeout=300)
    return json.loads((folder / "found.json").read_text())


def close(params, expected):
    """To the rounding of 30 steps of Adam, whose quotient m / sqrt(v) amplifies that of small entries."""
    for name, leaf in expected.items():
        assert np.linalg.norm(np.subtract(params[name], leaf)) <= 2**12 * EPS * np.linalg.norm(leaf), name


def test_two_ranks_train_as_one(found):
    one, (first, second) = found["alone"], found["whole"]["ranks"]
    assert first["params"] == second["params"]
    close(first["params"], one["params"])
    assert first["goals"] == second["goals"] == pytest.approx(one["goals"], rel=2**12 * EPS)


def test_two_ranks_carry_the_state_that_one_carries(found):
    """The inner rule's state is its mean over both ranks' tasks; the second moment is what makes Reptile's step."""
    one, (first, second) = found["alone carrying"], found["carried"]["ranks"]
    assert first["params"] == second["params"]
    assert first["inner"] == second["inner"]
    assert first["steps"] == 9
    close(first["params"], one["params"])
    assert one["inner"][-1] == 27  # steps of Adam
    close({"inner": first["inner"]}, {"inner": one["inner"]})


def test_a_callback_of_rank_0_stops_all(found):
    assert [rank["steps"] for rank in found["stopped"]["ranks"]] == [9, 9]
    assert found["stopped"]["saved"][-1] == "step-00000009"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("killed", "rank 1 of 2 has ended"),
        ("paused", "rank 1 of 2 has given no sign of life"),
        ("hanging", "rank 1 of 2 hangs: it computes alone"),
        ("raising", "rank 1 of 2 failed: ValueError: no such file: shard-17"),
    ],
)
def test_rank_0_names_the_rank_that_failed(found, case, words):
    first, second = found[case]["ranks"]
    assert words in first["message"]
    assert "--resume" in first["message"]
    assert first.get("seconds", 0) < 60
    assert found[case]["saved"][-1] in ("step-00000008", "step-00000010")
    if case == "raising":
        assert second["message"] == "no such file: shard-17"


def test_divergence_of_one_rank_is_that_of_all(found):
    for rank in found["diverging"]["ranks"]:
        assert rank["error"] == "DivergedError"
        assert rank["steps"] == 10
    assert "outer step 10: rank 1 of 2 failed: NonFiniteError: task 0: " in found["diverging"]["ranks"][0]["message"]
    assert found["diverging"]["saved"][-1] == "step-00000010"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("other seed", "rank 1 of 2 has other versions or settings than rank 0: tasks.seed is 0 in rank 0 and 1"),
        ("other data", "rank 1 of 2 has other tasks than rank 0: step 0.query.x is"),
        ("nudged", "rank 1 of 2 has other parameters after 8 steps than rank 0: "),
    ],
)
def test_ranks_that_disagree_say_in_what(found, case, words):
    for rank in found[case]["ranks"]:
        assert rank["error"] == "RankError"
        assert words in rank["message"]


@pytest.mark.parametrize("case", ["killed", "hanging"])
def test_one_process_goes_on_where_two_have_ended(found, case):
    resumed = found[case]["resumed"]
    assert 0 < resumed["start"] < resumed["steps"] == STEPS
    close(resumed["params"], found["alone"]["params"])


@pytest.mark.soak
def test_twenty_kills_change_no_bit(found, tmp_path):
    command = [sys.executable, "-m", "tests.ranks.pair", str(tmp_path), "20", "27"]
    out = subprocess.run(command, check=True, timeout=900, capture_output=True, text=True).stdout
    ranks, kills = json.loads(out)
    assert [rank["params"] for rank in ranks] == [found["whole"]["ranks"][0]["params"]] * 2
    for rank, _, message in kills:
        early = f"rank {1 - rank} of 2 has lost another ({rank}): "  # before they had joined
        assert not message or message.startswith((early, f"rank {rank} of 2 has ended"))
