"""The suite is itself tested: whatever is broken on purpose is caught, and nothing sound is accused."""

from functools import cache

import kill_matrix
import killing
import pytest
import seeded_faults as faults
from justified import JUSTIFIED
from seeded_faults.fault import Fault

from metaspec.conformance.runner import run

SOUND = Fault("sound", "adapter", "nothing is wrong", (), lambda patch: None)
FAR, NEAR = 100.0, 1e-3  # in tolerances: what a fault that shows is beyond, what one that does not apply is within
TO_FLOAT32 = 2.0**-53 / 2.0**-24
MATRIX = {row.fault: row for row in kill_matrix.read(kill_matrix.FILE.read_text(encoding="utf-8"))}


@cache
def on_scenarios(fault, dtype):
    for scenario in scenarios():
        killing.known(scenario.id)
    return [killing.outcome(fault, scenario, dtype) for scenario in scenarios()]


def scenarios():
    return [scenario for group in killing.scenarios().values() for scenario in group]


def in_tolerances(outcome):
    return outcome.worst.error * TO_FLOAT32 / outcome.worst.tolerance


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sound_adapter_is_not_accused(dtype):
    assert [(o.scenario, o.message) for o in on_scenarios(SOUND, dtype) if not o.passed] == []


@pytest.mark.parametrize("name", faults.WRONG)
def test_fault_is_caught_by_a_wide_margin_or_does_not_apply(name):
    """No scenario is undecided: a fault is 100 float32 tolerances away from the truth, or it changes nothing."""
    caught = [o for o in on_scenarios(faults.WRONG[name], "float64") if not o.passed]
    assert caught, f"{name} passes"
    assert [o.message for o in caught if o.worst is None] == [], "it is to be caught by its numbers"
    assert [(o.scenario, o.worst.leaf, in_tolerances(o)) for o in caught if NEAR < in_tolerances(o) < FAR] == []


@pytest.mark.parametrize("name", faults.FAULTS)
def test_fault_is_seen_by_a_check(name):
    """By one that the matrix names; the others are asked only where that one no longer sees it."""
    fault, row = faults.FAULTS[name], MATRIX[name]
    laws, topics = killing.laws(), killing.scenarios()
    named = [laws[law] for law in row.laws if law in laws] + [topics[topic] for topic in row.topics if topic in topics]
    groups = [*sorted(named, key=len), *laws.values(), *topics.values()]
    checks = [check for group in groups for check in group]
    assert any(killing.kills(fault, check) for check in checks), f"{name} escapes every check"


def test_every_scenario_catches_a_fault():
    """A scenario that no fault shows in would be decoration."""
    blind = {scenario.id for scenario in scenarios()}
    for name in sorted(faults.WRONG, key=lambda name: -len(MATRIX[name].topics)):
        if blind:
            blind -= {o.scenario for o in on_scenarios(faults.WRONG[name], "float64") if not o.passed}
    assert blind == set()


def test_matrix_names_every_fault_and_every_law():
    assert list(MATRIX) == list(faults.FAULTS), f"run {kill_matrix.COMMAND}"
    text = kill_matrix.FILE.read_text(encoding="utf-8")
    assert [name for name in killing.laws() if f"| `{name}` |" not in text] == [], f"run {kill_matrix.COMMAND}"
    assert kill_matrix.text(list(MATRIX.values())) == text, f"run {kill_matrix.COMMAND}"


@pytest.mark.parametrize("name", killing.laws())
def test_law_sees_a_fault_or_is_justified(name):
    seen = [row.fault for row in MATRIX.values() if name in row.laws]
    assert bool(seen) != (name in JUSTIFIED), f"{name} sees {seen}; its justification: {JUSTIFIED.get(name)}"


def test_every_bug_that_was_seen_is_a_fault():
    assert {number for fault in faults.FAULTS.values() for number in fault.rows} == set(faults.SEEN)


@pytest.mark.parametrize(
    "name", ["damping_twice", "float32_hidden_in_float64", "one_task_for_ever", "best_is_the_last"]
)
def test_fault_is_caught_in_a_worker(name, monkeypatch):
    """The whole way through a worker process, as for anybody's backend."""
    monkeypatch.setenv("PYTHONPATH", str(killing.HERE))
    row = MATRIX[name]
    checks = killing.laws()[row.laws[0]]
    report = run([f"seeded_faults:worker_{name}"], checks, [faults.FAULTS[name].dtype])
    assert report.failures
    assert not report.broken
