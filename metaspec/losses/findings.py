"""What `check_loss` found: what was seen, what it means for each algorithm, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]

SECOND = "MAML and iMAML give wrong meta-gradients, because they multiply by this matrix; FO-MAML and Reptile are right"
ALL = "every algorithm gives a wrong result: MAML, FO-MAML, iMAML and Reptile all follow this gradient"


@dataclass(frozen=True)
class LossFinding:
    """One thing that was found about a loss.

    Attributes:
        kind: What it is, as a short name that code may compare: "second-derivative", "random", "ignores-params" ...
        severity: "error", what an algorithm computes is wrong, or nothing; "warning", probably not meant; "note", for
            information.
        seen: What was seen, with numbers.
        means: What follows for MAML, iMAML, FO-MAML and Reptile.
        remedy: What to do.
        numbers: The numbers behind `seen`, by name.
        order: The lowest order of derivative that is affected: with 2, FO-MAML and Reptile are as they should be.
    """

    kind: str
    severity: Severity
    seen: str
    means: str
    remedy: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    order: int = 1

    def __str__(self) -> str:
        return f"{self.severity}: {self.seen}. {self.means}. {self.remedy}"


@dataclass(frozen=True)
class LossCheck:
    """The result of `check_loss`.

    Attributes:
        ok: No finding is an error.
        findings: What was found, errors first.
    """

    ok: bool
    findings: tuple[LossFinding, ...] = ()

    @staticmethod
    def of(findings: list[LossFinding]) -> "LossCheck":
        """Return the check with these findings, sorted by severity."""
        order = ("error", "warning", "note")
        ranked = tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
        return LossCheck(all(finding.severity != "error" for finding in ranked), ranked)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "nothing to find fault with"
