"""A run's findings as rows and as plain data for JSON."""

import math
from dataclasses import dataclass
from typing import Any

import metaspec
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.workers.runner import VerifyReport

FIRST_ORDER, SECOND_ORDER = frozenset({"FOMAML", "Reptile"}), frozenset({"MAML", "IMAML"})
NAMES = {"MAML": "MAML", "IMAML": "iMAML"}


@dataclass(frozen=True)
class VerifyRow:
    """One backend, algorithm and format.

    `worst` is the largest error in units of roundoff times amplification, `digits` the fewest decimal digits that
    agree, `seconds` the time in the worker; `headroom` is how many times larger than the error the tolerance is, at
    the least. None where no scenario could be measured.
    """

    backend: str
    algorithm: str
    dtype: str
    scenarios: int
    failures: int
    worst: float | None
    digits: float | None
    seconds: float
    headroom: float | None


def rows(report: VerifyReport) -> list[VerifyRow]:
    """Sorted by backend, algorithm, format."""
    order = {name: i for i, name in enumerate(("MAML", "FOMAML", "Reptile", "IMAML"))}
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in report.outcomes:
        groups.setdefault((outcome.backend, outcome.algorithm, outcome.dtype), []).append(outcome)
    keys = sorted(groups, key=lambda key: (key[0], order.get(key[1], len(order)), key[1], key[2]))
    return [_row(key, groups[key]) for key in keys]


def _row(key: tuple[str, str, str], outcomes: list[Outcome]) -> VerifyRow:
    worst = [outcome.worst.error for outcome in outcomes if outcome.worst is not None]
    digits = [outcome.digits for outcome in outcomes if outcome.digits is not None]
    failures = sum(not outcome.passed for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    measured = [outcome.worst for outcome in outcomes if outcome.worst is not None and outcome.worst.error > 0]
    headroom = min((leaf.tolerance / leaf.error for leaf in measured), default=None)
    return VerifyRow(
        *key, len(outcomes), failures, max(worst, default=None), min(digits, default=None), seconds, headroom
    )


def oracles(report: VerifyReport) -> dict[str, int]:
    """How many scenarios each oracle was the reference of."""
    named = {outcome.scenario: outcome.oracle for outcome in report.outcomes}
    return {oracle: list(named.values()).count(oracle) for oracle in sorted(set(named.values()))}


def statement(thorough: bool = True) -> str:
    """What the reference is computed with, what follows from it, and what was left out."""
    return _reference() + ("" if thorough else "; laws in float32 where float64 is there left out (--thorough)")


def _reference() -> str:
    bits = round(-math.log2(error_model.EXTENDED_ROUNDOFF))
    limits = {dtype: error_model.tolerance(dtype) for dtype in ("float32", "float64")}
    text = f"reference in numpy.longdouble ({bits} bits)"
    if len(set(limits.values())) == 1:
        return f"{text}; tolerance {error_model.TOLERANCE:g} roundoffs x amplification"
    return f"{text}, no wider than float64 on this platform; tolerance " + ", ".join(
        f"{dtype} {limit:g}" for dtype, limit in limits.items()
    )


def as_json(report: VerifyReport, seconds: float) -> dict[str, Any]:
    """Everything, for `--json`."""
    return {
        "metaspec": metaspec.__version__,
        "passed": report.passed,
        "interrupted": report.interrupted,
        "seconds": round(seconds, 3),
        "statement": statement(report.thorough),
        "thorough": report.thorough,
        "oracles": oracles(report),
        "versions": report.versions,
        "rows": [_finite(vars(row)) for row in rows(report)],
        "broken": [{"backend": backend, "message": message} for backend, message in report.broken],
        "failures": [_outcome(outcome) for outcome in report.failures],
        "outcomes": [_outcome(outcome) for outcome in report.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    plain = vars(outcome) | {"passed": outcome.passed}
    return _finite(plain | {"worst": None if outcome.worst is None else _finite(vars(outcome.worst))})


def _finite(plain: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: it becomes a string."""
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()}


def hints(report: VerifyReport) -> list[str]:
    """Return, for each backend that failed, where to look first: the first member, or what agreement tells."""
    found = []
    for backend in dict.fromkeys(outcome.backend for outcome in report.failures):
        failed = [outcome.scenario for outcome in report.failures if outcome.backend == backend]
        members = [check for check in failed if check.startswith(("member/", "capability/"))]
        ran = {o.algorithm for o in report.outcomes if o.backend == backend}
        broken = {o.algorithm for o in report.failures if o.backend == backend}
        if members:
            found.append(f"{backend}: look at {members[0]} first; everything after it builds on it")
        elif SECOND_ORDER & broken and ran - broken >= FIRST_ORDER:
            names = " and ".join(NAMES[name] for name in sorted(SECOND_ORDER & broken, reverse=True))
            found.append(f"{backend}: FO-MAML and Reptile agree, {names} not: look at the Hessian (vjp of grad)")
    return found
