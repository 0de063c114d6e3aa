"""The audit of code whose writer knew nothing of how the audit works."""

from pathlib import Path

import pytest

import metaspec as ms
from tests.audit.blind.blindset import ALL, audited, identity, in_every_run, missed
from tests.audit.blind.summary import table
from tests.audit.blind.truth import Truth

HERE = Path(__file__).parent
QUICK = [truth for truth in ALL if in_every_run(truth)]
LONG = [pytest.param(truth, marks=pytest.mark.soak) for truth in ALL if not in_every_run(truth)]


@pytest.mark.parametrize("truth", [*QUICK, *LONG], ids=identity)
def test_an_audit_tells_the_truth(truth: Truth) -> None:
    report = audited(truth)
    assert missed(truth, report) == [], str(report)


BY_NAME = {("torch_functional", "graph_at_end"), ("jax_by_hand", "reward")}
ALONE = [truth for truth in ALL if (truth.module, truth.name) in BY_NAME and not truth.options]


@pytest.mark.parametrize("truth", ALONE, ids=identity)
def test_an_audit_in_a_child_process_tells_it_too(truth: Truth) -> None:
    place = f"{HERE / 'code' / truth.module}.py:{truth.name}"
    report = ms.audit(place, claim=truth.claim, timeout=120.0)
    assert missed(truth, report) == [], str(report)


def test_the_table_counts_what_was_told_missed_and_said_falsely() -> None:
    kinds = {"a": ("right", "right", "missed"), "b": ("accused", "skipped")}
    answers = [{"module": m, "kind": kind, "seconds": 2.0} for m, each in kinds.items() for kind in each]
    rows = table(answers).splitlines()[2:]
    assert rows == ["| a | 3 | 2 | 1 | 0 | 2.0 |", "| b | 1 | 0 | 0 | 1 | 2.0 |", "| all | 4 | 2 | 1 | 1 | 2.0 |"]
