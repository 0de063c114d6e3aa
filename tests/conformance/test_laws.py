"""Every law holds on NumPy in each of its formats, and every law sees something that is broken.

Which fault a law sees is looked up in the kill matrix; it is broken here again, and the law must see it.
"""

import pytest

from metaspec.backend.registry import registrations
from metaspec_conformance.judging.certification import formats
from metaspec_conformance.judging.evidence import evidence
from metaspec_conformance.judging.verdicts import judge
from metaspec_conformance.workers.check_worker import perform
from metaspec_numpy.adapter import NumpyBackend
from tests.conformance import fault_detection, kill_matrix
from tests.conformance import seeded_faults as faults

DTYPES = registrations()["numpy"].dtypes
MATRIX = {row.fault: row for row in kill_matrix.read(kill_matrix.FILE.read_text(encoding="utf-8"))}


def chosen() -> dict[str, str]:
    """A fault for each law, as many different ones as there can be: those that few laws see come first."""
    found: dict[str, str] = {}
    rare = sorted(MATRIX.values(), key=lambda row: len(row.laws))
    for row in [row for row in rare if row.fault in faults.FAULTS]:
        free = [law for law in row.laws if law not in found]
        if free:
            found[min(free, key=lambda law: sum(law in other.laws for other in rare))] = row.fault
    for law in fault_detection.laws():
        seen = [row.fault for row in rare if law in row.laws and row.fault in faults.FAULTS]
        if law not in found and seen:
            found[law] = seen[0]
    return found


CHOSEN = chosen()


@pytest.mark.parametrize("name", fault_detection.laws())
def test_law_holds_and_sees_a_fault(name):
    checks = fault_detection.laws()[name]
    for check in checks:
        truths, problem = evidence(check)
        assert problem == ""
        for dtype in formats(check, DTYPES):
            assert judge("numpy", check, dtype, truths, perform(NumpyBackend(), check, dtype, "numpy")).message == ""
    assert name in CHOSEN, f"the kill matrix has no fault that {name} sees: {kill_matrix.COMMAND} NAME_OF_THE_FAULT"
    assert any(fault_detection.kills(faults.FAULTS[CHOSEN[name]], check) for check in checks), f"{CHOSEN[name]} escapes"


@pytest.mark.parametrize("name", [name for name in faults.FAULTS if name not in CHOSEN.values()])
def test_fault_is_seen(name):
    """A fault that no law above was held against is seen by a check that the matrix names, the cheapest first."""
    assert name in MATRIX, f"the kill matrix has no row for the fault: {kill_matrix.COMMAND} {name}"
    row, laws, topics = MATRIX[name], fault_detection.laws(), fault_detection.scenarios()
    groups = [topics[topic] for topic in row.topics if topic in topics] + [laws[law] for law in row.laws if law in laws]
    checks = [check for group in sorted(groups, key=len) for check in group]
    assert any(fault_detection.kills(faults.FAULTS[name], check) for check in checks), (
        f"{name} escapes: {kill_matrix.COMMAND}"
    )


def test_the_matrix_names_every_fault_and_every_law():
    absent = [name for name in faults.FAULTS if name not in MATRIX]
    assert absent == [], f"run {kill_matrix.COMMAND} {' '.join(absent)}"
    assert list(MATRIX) == list(faults.FAULTS), f"run {kill_matrix.COMMAND}"
    text = kill_matrix.FILE.read_text(encoding="utf-8")
    assert kill_matrix.text(list(MATRIX.values())) == text, f"run {kill_matrix.COMMAND}"


def test_every_bug_that_was_seen_is_a_fault():
    assert {number for fault in faults.FAULTS.values() for number in fault.rows} == set(faults.SEEN)
