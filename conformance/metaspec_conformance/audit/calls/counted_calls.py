"""Calls of the audited function as the stages of an audit make them: counted, checked for finite results, compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.observation import Failure, Observed
from metaspec_conformance.audit.calls.problem_data import LABEL_FORMATS, CallInputs
from metaspec_conformance.audit.hypotheses.objective import Vector
from metaspec_conformance.audit.thresholds import EQUAL_CALLS, FIT_SETTINGS

REPEATED_DRAWS = 6  # equal calls of code that draws random numbers: of few outcomes, two may well be alike


class FailedError(Exception):
    """The audited function gave nothing that can be explained; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@dataclass(frozen=True)
class ObservedCall:
    """A call's inputs and what it gave."""

    inputs: CallInputs
    observed: Observed

    def delta(self, harness: AuditHarness, reading: str) -> Vector | None:
        """Return the result as a meta-update; None where it cannot be read so."""
        leaves = self.observed.moved if reading == "params" and self.observed.moved else self.observed.result
        if leaves is None:
            return None
        result = np.concatenate([np.reshape(leaf, -1) for leaf in leaves]).astype(np.float64)
        return self.origin(harness) - result if reading == "params" else result

    def origin(self, harness: AuditHarness) -> Vector:
        """Return the meta-parameters in the format that went in."""
        phi = harness.phi(self.inputs, harness.objective(self.inputs))
        return phi.astype(harness.dtype).astype(np.float64)


def flat(observed: Observed) -> Vector:
    """Return everything that a call gave as one vector."""
    leaves = [*(observed.result or ()), *(observed.moved or ())]
    return np.concatenate([np.reshape(leaf, -1) for leaf in leaves]).astype(np.float64)


def spread(vectors: Sequence[Vector]) -> float:
    """Return the largest relative difference of any vector from the first."""
    size = float(np.linalg.norm(vectors[0]))
    return max((float(np.linalg.norm(v - vectors[0])) / size for v in vectors[1:]), default=0.0) if size else 0.0


@dataclass
class Caller:
    """Calls of one function that count themselves and fail where there is no finite result.

    Attributes:
        harness: What makes the calls.
        count: How many there were.
        fresh_module: Whether each call gets the function's module as it was when first imported.
    """

    harness: AuditHarness
    count: int = 0
    fresh_module: bool = field(default=False)

    def __call__(self, inputs: CallInputs, fresh: bool = False) -> ObservedCall:
        """Call the function.

        Raises:
            FailedError: It gave nothing, or numbers that are not finite.
        """
        observed = self.harness.call(inputs, self.fresh_module or fresh)
        self.count += 1
        if observed.failure is not None:
            raise FailedError(observed.failure)
        if not np.all(np.isfinite(flat(observed))):
            settings = ", ".join(f"{name} = {value:g}" for name, value in inputs.settings.items())
            raise FailedError(Failure("not-finite", f"the result has NaN or infinity at {settings}"))
        return ObservedCall(inputs, observed)

    def all_tasks(self) -> ObservedCall:
        """Call the function on all tasks of the first problem (on one where it takes one at a time).

        Where it raises on a supplied problem, sets of equal sizes and other formats of class labels are tried:
        `inputs.equal` and `harness.data.labels` say what it took.

        Raises:
            FailedError: It took none of them; as on the first.
        """
        harness, first = self.harness, None
        tasks = (0,) if harness.signature.single else tuple(range(harness.count))
        stacked = harness.signature.stacks
        sizes = (stacked,) if stacked or harness.signature.single or harness.data.is_own else (False, True)
        for labels in LABEL_FORMATS if harness.problem == "classification" else LABEL_FORMATS[:1]:
            harness.data.labels = labels
            for equal in sizes:
                try:
                    return self(CallInputs(0, tasks, FIT_SETTINGS, equal))
                except FailedError as failed:
                    if failed.failure.code != "raises":
                        raise (first or failed) from None
                    first = first or failed
        assert first is not None
        raise first

    def repetition(self, first: ObservedCall) -> str:
        """Return how equal calls differ: "" (not), "call-state" (a call leaves something behind) or "random".

        Where a call leaves something behind, all later calls begin with a fresh module.

        Raises:
            FailedError: As a call.
        """
        close, count = EQUAL_CALLS[self.harness.dtype], REPEATED_DRAWS if first.observed.drew else 1
        if all(spread([flat(first.observed), flat(self(first.inputs).observed)]) <= close for _ in range(count)):
            return ""
        again = [flat(self(first.inputs, fresh=True).observed) for _ in range(1 + count)]
        anew = self.harness.function.reload() is not None
        if anew and spread(again) <= close:
            self.fresh_module = True
            return "call-state"
        return "random" if anew or first.observed.drew else "call-state"

    def differs(self, first: ObservedCall) -> bool:
        """Return whether the first call, repeated now, gives another result than it did.

        Raises:
            FailedError: As a call.
        """
        if self.fresh_module:
            return False
        return spread([flat(first.observed), flat(self(first.inputs).observed)]) > EQUAL_CALLS[self.harness.dtype]

    def switched_at(self, first: ObservedCall) -> tuple[int, ObservedCall] | str:
        """Return the number of the call, from a fresh module on, that is the first to differ, and what it gave.

        "random" where another fresh module does not give the same there, or calls go on to differ after it, and
        "call-state" where no fresh module can be had, or equal calls do not differ in it.

        Raises:
            FailedError: As a call.
        """
        if self.harness.function.reload() is None:
            return "call-state"
        close = EQUAL_CALLS[self.harness.dtype]
        calls = [self(first.inputs, fresh=True)]
        while len(calls) < self.count and spread([flat(calls[0].observed), flat(calls[-1].observed)]) <= close:
            calls.append(self(first.inputs))
        again = [self(first.inputs, fresh=i == 0) for i in range(len(calls))]
        if any(spread([flat(a.observed), flat(b.observed)]) > close for a, b in zip(calls, again, strict=True)):
            return "random"
        if spread([flat(c.observed) for c in calls]) <= close:
            return "call-state"
        later = [self(first.inputs) for _ in range(REPEATED_DRAWS)]
        return "random" if spread([flat(c.observed) for c in (calls[-1], *later)]) > close else (len(calls), calls[-1])

    def single_tasks(self, whole: ObservedCall) -> tuple[list[ObservedCall], str]:
        """Call the function on each task alone.

        Returns:
            The calls, the first of them `whole` where the function takes one task at a time; or none, and why single
            tasks could not be given.
        """
        inputs = whole.inputs
        if self.harness.signature.single:
            return [whole, *(self(CallInputs(0, (i,), FIT_SETTINGS)) for i in range(1, self.harness.count))], ""
        any_size = isinstance(self.harness.problem, str)  # one task at a time may have any size
        try:
            return [self(CallInputs(0, (i,), FIT_SETTINGS, inputs.equal and not any_size)) for i in inputs.tasks], ""
        except FailedError as failed:
            return [], str(failed)

    def nudged(self, call: ObservedCall, by: float) -> ObservedCall:
        """Call the function again with parameters that are larger by the fraction `by`.

        Raises:
            FailedError: As a call.
        """
        inputs: Any = call.inputs
        return self(CallInputs(inputs.seed, inputs.tasks, inputs.settings, inputs.equal, by))
