"""The stages of an audit in their order: calls, search, combination of the tasks, validation."""

from dataclasses import dataclass, field

from metaspec_conformance.audit.audit_state import AuditState, Claims
from metaspec_conformance.audit.calls.counted_calls import Caller
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.findings.validation import later_algorithm, validate
from metaspec_conformance.audit.search.random_estimates import estimate
from metaspec_conformance.audit.search.reading_search import search_readings
from metaspec_conformance.audit.search.task_combination import combine_tasks
from metaspec_conformance.audit.thresholds import SEARCH_SECONDS


@dataclass
class AuditPipeline:
    """One audit of one function on one problem.

    Attributes:
        harness: What makes the calls.
        claims: What the caller says.
        seconds: Of computation that the search may take.
        state: What the stages found.
        caller: What counts the calls.
    """

    harness: AuditHarness
    claims: Claims
    seconds: float = SEARCH_SECONDS
    state: AuditState = field(default_factory=AuditState)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.caller = Caller(self.harness)

    def run(self) -> AuditState:
        """Run all stages and return what they found.

        Raises:
            FailedError: The function gave nothing that can be explained.
        """
        state = self._run()
        if not state.repetition and self.caller.differs(state.calls[0]):
            drew = state.calls[0].observed.drew
            first = "random" if drew else self.caller.switched_at(state.calls[0])
            if isinstance(first, str):
                state.repetition = first
                if first == "random" and not drew:  # what explains one draw explains nothing
                    reading, search = state.reading, state.search
                    state = AuditState(calls=state.calls, reading=reading, search=search, repetition="random")
            else:
                later, self.state, self.caller.fresh_module = first[1], AuditState(), True
                state = self._run()
                state.switch = first[0], later_algorithm(self.caller.harness, state, later)
        if state.repetition and not state.fits:
            self._estimate(state)
        return state

    def _estimate(self, state: AuditState) -> None:
        """Look at the mean of many calls; where it is an algorithm, what calls leave behind is their generator."""
        begins_afresh, self.caller.fresh_module = self.caller.fresh_module, False
        state.estimate = estimate(self.caller, self.claims, state, state.calls[0])
        if state.estimate is not None:
            state.repetition = "random"
        self.caller.fresh_module = begins_afresh

    def _run(self) -> AuditState:
        state, caller = self.state, self.caller
        whole = caller.all_tasks()
        if self.harness.autocast and self.harness.dtype == "float64":
            self.harness.in_single_precision()  # autocast leaves float64 alone
            whole = caller.all_tasks()
        state.unequal = whole.inputs.equal and not self.harness.signature.stacks
        state.repetition = caller.repetition(whole)
        singles, state.refused = caller.single_tasks(whole)
        state.calls = [whole, *singles]
        searched = singles or [whole]
        search_readings(caller, self.claims, state, searched, self.seconds)
        if state.search is None or not state.fits:
            return state
        if singles and len(whole.inputs.tasks) > 1:
            combine_tasks(caller, state, whole, singles)
        validate(caller, state, whole, searched)
        return state
