"""The suite is itself tested: whatever is broken on purpose is caught, and nothing sound is accused."""

from functools import cache, partial

import pytest
import seeded_faults as faults

from metaspec.conformance.judge import judge
from metaspec.conformance.reference import reference
from metaspec.conformance.scenarios import certified
from metaspec.conformance.worker import perform

FAR, NEAR = 100.0, 1e-3  # in tolerances: what a fault that shows is beyond, what one that does not apply is within


@cache
def references():
    return {scenario.id: reference(scenario) for scenario in certified()}


@cache
def outcomes(fault, dtype):
    known = references()  # before anything is broken
    with pytest.MonkeyPatch.context() as patch:
        B = fault(partial(patch.setattr, raising=False))
        return [judge("target", s, dtype, known[s.id], perform(B, s, dtype)) for s in certified()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sound_adapter_is_not_accused(dtype):
    found = outcomes(faults.sound, dtype)
    assert [(o.scenario, o.message) for o in found if not o.passed] == []


@pytest.mark.parametrize("name", faults.WRONG)
def test_fault_is_caught_by_a_wide_margin_or_does_not_apply(name):
    """No scenario is undecided: a fault is 100 float32 tolerances away from the truth, or it changes nothing."""
    found = outcomes(faults.WRONG[name], "float64")
    caught = [o for o in found if not o.passed]
    assert caught, f"{name} passes"
    assert [o.message for o in caught if o.worst is None] == [], "it is to be caught by its numbers"
    to_float32 = 2.0**-53 / 2.0**-24
    undecided = [
        (o.scenario, o.worst.leaf, o.worst.error * to_float32 / o.worst.tolerance)
        for o in caught
        if NEAR < o.worst.error * to_float32 / o.worst.tolerance < FAR
    ]
    assert undecided == []


@pytest.mark.parametrize("name", faults.MALFORMED)
def test_malformed_result_is_caught(name):
    found = outcomes(faults.MALFORMED[name], "float64")
    assert any(not o.passed for o in found)


def test_every_scenario_catches_a_fault():
    """A scenario that no fault shows in would be decoration."""
    blind = {scenario.id for scenario in certified()}
    for fault in faults.WRONG.values():
        blind -= {o.scenario for o in outcomes(fault, "float64") if not o.passed}
    assert blind == set()
