"""The stages of an audit in their order: calls, search, combination of the tasks, validation."""

from dataclasses import dataclass, field

from metaspec_conformance.audit.audit_state import AuditState, Claims
from metaspec_conformance.audit.calls.caller import Caller
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.findings.validation import validate
from metaspec_conformance.audit.search.reading_search import search_readings
from metaspec_conformance.audit.search.task_combination import combine_tasks


@dataclass
class AuditPipeline:
    """One audit of one function."""

    harness: AuditHarness
    claims: Claims
    state: AuditState = field(default_factory=AuditState)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.caller = Caller(self.harness)

    def run(self) -> AuditState:
        """Run all stages and return what they found.

        Raises:
            FailedError: The function gave nothing that can be explained.
        """
        state, caller = self.state, self.caller
        whole, state.unequal = caller.all_tasks()
        state.repetition = caller.repetition(whole)
        singles, state.refused = caller.single_tasks(whole)
        state.calls = [whole, *singles]
        searched = singles or [whole]
        search_readings(caller, self.claims, state, searched)
        if state.search is None or not state.fits:
            return state
        if singles and len(whole.inputs.tasks) > 1:
            combine_tasks(caller, state, whole, singles)
        validate(caller, state, whole, searched)
        return state
