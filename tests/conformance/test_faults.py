"""Scenarios are themselves tested: what is broken is far from the truth, and nothing sound is accused.

That every fault is seen by some check, and that every law sees one, is in test_laws.
"""

from functools import cache

import pytest

from metaspec_conformance.workers.runner import run
from tests.conformance import fault_detection, kill_matrix
from tests.conformance import seeded_faults as faults
from tests.conformance.seeded_faults.fault import Fault

SOUND = Fault("sound", "adapter", "nothing is wrong", (), lambda patch: None)
FAR, NEAR = 100.0, 1e-3  # in tolerances: what a fault that shows is beyond, what one that does not apply is within
TO_FLOAT32 = 2.0**-53 / 2.0**-24
MATRIX = {row.fault: row for row in kill_matrix.read(kill_matrix.FILE.read_text(encoding="utf-8"))}


@cache
def on_scenarios(fault, dtype):
    for scenario in scenarios():
        fault_detection.known(scenario.id)
    return [
        fault_detection.outcome(fault, scenario, dtype)
        for scenario in scenarios()
        if fault_detection.reaches(fault, scenario)
    ]


def scenarios():
    return [scenario for group in fault_detection.scenarios().values() for scenario in group]


def in_tolerances(outcome):
    return outcome.worst.error * TO_FLOAT32 / outcome.worst.tolerance


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sound_adapter_is_not_accused(dtype):
    outcomes = [fault_detection.outcome(SOUND, scenario, dtype) for scenario in scenarios()]
    assert [(o.scenario, o.message) for o in outcomes if not o.passed] == []


def catching(name):
    """The scenarios that catch a fault, each by a wide margin.

    No scenario is undecided: a fault is 100 float32 tolerances away from the truth, or it changes nothing.
    """
    caught = [o for o in on_scenarios(faults.WRONG[name], "float64") if not o.passed]
    assert caught, f"{name} passes"
    assert [o.message for o in caught if o.worst is None] == [], "it is to be caught by its numbers"
    assert [(o.scenario, o.worst.leaf, in_tolerances(o)) for o in caught if NEAR < in_tolerances(o) < FAR] == []
    return {o.scenario for o in caught}


def test_every_scenario_catches_a_fault_by_a_wide_margin():
    """A scenario that no fault shows in would be decoration."""
    blind = {scenario.id for scenario in scenarios()}
    for name in sorted(faults.WRONG, key=lambda name: -len(MATRIX[name].topics)):
        if blind:
            blind -= catching(name)
    assert blind == set()


@pytest.mark.soak  # all faults on all scenarios, a second each; that each is caught is in test_laws
@pytest.mark.parametrize("name", faults.WRONG)
def test_fault_is_caught_by_a_wide_margin_or_does_not_apply(name):
    catching(name)


@pytest.mark.parametrize(
    "name", ["damping_twice", "float32_hidden_in_float64", "one_task_for_ever", "best_is_the_last"]
)
def test_fault_is_caught_in_a_worker(name):
    """The whole way through a worker process, as for anybody's backend."""
    row = MATRIX[name]
    checks = fault_detection.laws()[row.laws[0]]
    report = run([f"tests.conformance.seeded_faults:worker_{name}"], checks, [faults.FAULTS[name].dtype])
    assert report.failures
    assert not report.broken
