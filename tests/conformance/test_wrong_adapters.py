"""Wrong adapters: each is refused, and the first line of the report names the member that is wrong.

Every seeded fault of kind "adapter" is one. Checks run in the order of the report, as far as the first that fails.
"""

from collections.abc import Iterator

import pytest

from metaspec_conformance.judging.certification import certification, formats
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.reports.verify_report import hints
from metaspec_conformance.workers.runner import VerifyReport
from tests.conformance import fault_detection, kill_matrix
from tests.conformance.seeded_faults import FAULTS, Fault

MATRIX = {row.fault: row for row in kill_matrix.read(kill_matrix.FILE.read_text(encoding="utf-8"))}
WRONG = [name for name, fault in FAULTS.items() if fault.kind == "adapter"]
NAMED_OTHERWISE = {"tree_flatten": ("member/trees",), "registrations": ("capability/",)}
BY_FUNCTION = ("impl", "vjp", "jvp")  # of a primitive: the functions of xp that are made of it
UNNAMED = {  # what shows no earlier than in a scenario, or under another name
    "tanh_forward_rule_wrong": "forward derivatives of xp's functions are met in products with the Hessian alone",
}
"""Wrong adapters whose first line does not name the member, with the reason."""


def first_failure(fault: Fault) -> Outcome | None:
    """Return the outcome that a report begins with; but for members, only what the kill matrix says to see it runs."""
    seeing = (*MATRIX[fault.name].laws, *MATRIX[fault.name].topics) if fault.name in MATRIX else None
    for check in certification():
        if not fault_detection.meets(fault, check):
            continue
        of_a_member = check.id.startswith(("member/", "capability/"))
        if seeing is not None and not of_a_member and fault_detection.group(check) not in seeing:
            continue
        for dtype in formats(check, ("float32", "float64")):
            outcome = fault_detection.outcome(fault, check, dtype)
            if not outcome.passed:
                return outcome
    return None


def expected_names(fault: Fault) -> Iterator[str]:
    """Yield what the first line may name: the members that the fault replaces, or functions of xp."""
    replaced: set[tuple[str, str]] = set()
    fault(lambda owner, name, value: replaced.add((type(owner).__name__, name)))
    for owner, name in replaced:
        if owner == "Primitive" and name in BY_FUNCTION:
            yield from ("member/xp", "dense")
        yield from NAMED_OTHERWISE.get(name, (name,))


def test_there_are_many_wrong_adapters():
    assert len(WRONG) >= 60
    assert len(UNNAMED) <= len(WRONG) / 10


# Each goes through the laws of members in their order; that all are caught is in test_laws.
IN_EVERY_RUN = [*WRONG[::4], *UNNAMED]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_EVERY_RUN else pytest.mark.soak) for name in WRONG]
)
def test_a_wrong_adapter_is_refused_by_name(name):
    found = first_failure(FAULTS[name])
    assert found is not None, "it is certified"
    line = f"{found.scenario} {found.dtype}: {found.message}"
    named = any(word in line for word in expected_names(FAULTS[name]))
    assert named is (name not in UNNAMED), line


def _outcome(algorithm, scenario, message=""):
    return Outcome("mine", algorithm, scenario, "float64", "", None, message)


def test_hints_say_where_to_look_first():
    sound = [_outcome(name, f"s/{name}") for name in ("FOMAML", "Reptile")]
    second = [_outcome(name, f"s/{name}", "wrong") for name in ("MAML", "IMAML")]
    member = _outcome("protocol", "member/vjp", "wrong")
    (hint,) = hints(VerifyReport((*sound, *second), {}, ()))
    assert hint == "mine: FO-MAML and Reptile agree, MAML and iMAML not: look at the Hessian (vjp of grad)"
    assert hints(VerifyReport((*sound, member, *second), {}, ())) == [
        "mine: look at member/vjp first; everything after it builds on it"
    ]
    assert hints(VerifyReport((_outcome("FOMAML", "s", "wrong"), *second), {}, ())) == []
    assert hints(VerifyReport((*sound,), {}, ())) == []
