"""What an audit says: the verdict, what was found, what deviates, and the evidence."""

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

WIDTH = 80  # columns
NAME = 37  # of them a hypothesis in the table
Verdict = Literal["identified", "consistent", "none", "failed"]


@dataclass(frozen=True)
class Finding:
    """One deviation, or one reason why nothing could be said.

    Attributes:
        code: What it is, out of the list in docs/audit.md.
        severity: "fault", or "note" for what need not be one.
        text: What was seen, with figures.
        cause: What in such code usually causes it.
    """

    code: str
    severity: Literal["fault", "note"]
    text: str
    cause: str = ""


@dataclass(frozen=True)
class EvidenceRow:
    """A hypothesis held against what was seen: the factor, the angle, and what remains."""

    hypothesis: str
    scale: float
    cosine: float
    residual: float
    digits: float


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        verdict: "identified": explained to roundoff, and by nothing else that is as simple; "consistent": explained to
            fewer digits, or by two algorithms that the problem cannot tell apart; "none": by nothing that was tried;
            "failed": there is no result to explain.
        sentence: The verdict in words.
        algorithm: "maml", "fomaml", "reptile", "imaml", "gradient" (nothing is adapted), or None.
        claim: What was claimed.
        matches_claim: Whether the algorithm is the claimed one and nothing is a fault; None without a claim.
        findings: What deviates.
        found: Every field of the explanation; see docs/audit.md.
        evidence: The hypotheses that come closest.
        alternatives: Other explanations, as simple and as good.
        digits: How many digits the explanation and the result have in common on problems that were not used to find it.
        calls: How often the code was called, and `seconds` how long it took in all.
        snippet: A command or program that repeats the verdict.
    """

    verdict: Verdict
    sentence: str
    algorithm: str | None = None
    claim: str | None = None
    matches_claim: bool | None = None
    findings: tuple[Finding, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[EvidenceRow, ...] = ()
    alternatives: tuple[str, ...] = ()
    digits: float | None = None
    calls: int = 0
    seconds: float = 0.0
    snippet: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        """The findings' codes, each once, sorted."""
        return tuple(sorted({finding.code for finding in self.findings}))

    @property
    def passed(self) -> bool:
        """Whether the claim is right; without one, whether the code was identified and nothing is a fault."""
        if self.matches_claim is not None:
            return self.matches_claim
        return self.verdict == "identified" and not any(f.severity == "fault" for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return asdict(self) | {"codes": list(self.codes), "passed": self.passed}

    @property
    def mark(self) -> str:
        """One sign for the verdict: passed, nothing that was claimed or asked failed, or failed."""
        if self.passed:
            return "✓"
        return "✗" if self.claim is not None or self.verdict in ("none", "failed") else "!"

    def __str__(self) -> str:
        lines = [_wrapped(self.sentence), ""]
        if self.evidence:
            lines.append(f"{'hypothesis':{NAME}}  {'scale':>9}  {'cosine':>10}  {'residual':>8}  digits")
            for row in self.evidence:
                name, *rest = textwrap.wrap(row.hypothesis, NAME)
                figures = f"{row.scale:9.4g}  {row.cosine:10.7f}  {row.residual:8.1e}  {row.digits:6.1f}"
                lines += [f"{name:{NAME}}  {figures}", *("  " + more for more in rest)]
            lines.append("")
        for finding in self.findings:
            lines.append(_wrapped(f"{finding.severity} {finding.code}: {finding.text}"))
            lines += [_wrapped(f"  usual cause: {finding.cause}")] if finding.cause else []
        lines += [_wrapped(f"as simple and as good: {other}") for other in self.alternatives]
        if self.snippet:
            lines += ["", "To see it again:", "", *("  " + line for line in self.snippet.splitlines())]
        return "\n".join(lines).rstrip()


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
