"""What is known of an implementation of the blind set: the options of its audit, and what the audit has to say.

Settled from the code and from plain calculation (test_truth.py), not from what an audit answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.audit.blind.plain import Oracle

IDENTIFIED = ("identified",)
CONSISTENT = ("consistent",)  # right as far as its digits go
ROUNDED = ("identified", "consistent")  # in a narrower format: to that format's roundoff, or with its digits
OUTSIDE = ("none", "consistent")  # no hypothesis of the interface has it: whatever is near, it is not that
ANY = ("identified", *OUTSIDE)  # whether a hypothesis has it is the audit's affair; what `faults` says is not
FAILED = ("failed",)


@dataclass(frozen=True)
class Truth:
    """An implementation, `module.name` of the folder code/, and what an audit of it has to answer.

    `faults`: codes of severity fault. Each must be there, and no other; "a|b" is either, "a?" may be there.
    `found`: fields of `report.found`, with the value or a function that judges it. `options`: keywords of the audit.
    `oracle`: what the code computes, by plain calculation, to `digits`; None where it is random or fails.
    """

    module: str
    name: str
    does: str
    claim: str | None
    oracle: Oracle | None
    algorithm: str | tuple[str | None, ...] | None
    faults: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[str, ...] = IDENTIFIED
    options: Mapping[str, Any] = field(default_factory=dict)
    digits: float = 11.0

    @property
    def algorithms(self) -> tuple[str | None, ...]:
        """What `report.algorithm` may be."""
        return self.algorithm if isinstance(self.algorithm, tuple) else (self.algorithm,)


def about(number: float) -> Any:
    """Judges a number: equal to six digits."""
    return lambda value: value is not None and abs(value - number) <= 1e-6 * abs(number)


def some(*names: str) -> Any:
    """Judges a list of names: these, in any order."""
    return lambda value: sorted(value or []) == sorted(names)
