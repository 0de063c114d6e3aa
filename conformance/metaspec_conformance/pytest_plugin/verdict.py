"""An outcome as pytest's: passed, failed, expected to fail, or waiting for a member that is not written."""

from collections.abc import Callable

import pytest

from metaspec_conformance.judging.error_model import ROUNDOFF
from metaspec_conformance.judging.failures import place
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.laws import LAWS, LawCheck
from metaspec_conformance.pytest_plugin.expected import Expected, reason_of
from metaspec_conformance.pytest_plugin.options import UNWRITTEN
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase
from metaspec_conformance.pytest_plugin.running import Running

Note = Callable[[str, object], None]


def conclude(running: Running, case: CheckCase, expected: Expected, note: Note) -> None:
    """Run the case; return where it passes, else end the test as pytest has it.

    Args:
        running: The backend.
        case: What to run.
        expected: The failures that are expected.
        note: Puts a property into the test's report.
    """
    outcome = running.outcome(case)
    if running.unwritten:
        note(UNWRITTEN, (running.name, running.unwritten))
    reason = reason_of(case, expected)
    if outcome.passed:
        if reason is not None:
            pytest.fail(f"{case.id} passes, and is expected to fail ({reason}): remove the entry", pytrace=False)
        return
    if reason is not None:
        pytest.xfail(f"{reason} ({outcome.message})")
    if (
        running.unwritten
        and outcome.message.startswith("NotImplementedError")
        and not case.check.id.startswith("member/")
    ):
        pytest.skip(f"waits for {', '.join(running.unwritten)}")
    pytest.fail(described(case, outcome), pytrace=False)


def described(case: CheckCase, outcome: Outcome) -> str:
    """What is wrong, in which units, and how to run it alone."""
    lines = [f"{outcome.backend}: {case.id}: {outcome.message}"]
    if isinstance(case.check, LawCheck):
        lines.append(f"law: {LAWS[case.check.law].formula}")
    if where := place(case.check.id):
        lines.append(f"said in: {where}")
    lines.append(f"clauses of SPEC.md: {', '.join(case.check.clauses) or 'none'}")
    worst = outcome.worst
    if worst is not None and not worst.passed:
        limit = worst.tolerance * worst.amplification * ROUNDOFF[case.dtype]
        lines.append(
            f"{worst.leaf}: {worst.error:.3g} roundoffs x amplification {worst.amplification:.1f}, "
            f"tolerance {worst.tolerance:g}, i.e. {limit:.1e}"
        )
    lines.append(f"alone: metaspec verify {outcome.backend} --scenario '{case.check.id}' --dtype {case.dtype}")
    return "\n".join(lines)
