"""Failures for people: equal ones together, each with the place in the code that says what should hold."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from metaspec_conformance.judging.certification import certification
from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.laws import LAWS, LawCheck
from metaspec_conformance.scenarios.certified import lines

# What differs between failures of one kind: where in a tree, and numbers.
_PARTICULARS = re.compile(r"(\[[^\]]*\])+|(?<![A-Za-z_])[-+]?(\d[\d.]*(e[-+]?\d+)?|inf\b|nan\b)")


@dataclass(frozen=True)
class Group:
    """Failures of one backend and algorithm that say the same, but for numbers and leaves; `first` stands for all."""

    first: Outcome
    others: tuple[Outcome, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The others, "least-squares/maml/steps-3 float64"."""
        return tuple(f"{outcome.scenario} {outcome.dtype}" for outcome in self.others)


def grouped(failures: Iterable[Outcome]) -> list[Group]:
    """In the order of each group's first failure."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in failures:
        key = outcome.backend, outcome.algorithm, _PARTICULARS.sub("#", outcome.message)
        groups.setdefault(key, []).append(outcome)
    return [Group(first, tuple(others)) for first, *others in groups.values()]


def place(check_id: str) -> str:
    """`file:line` of the law, or of the scenario, of that id; "" where it was drawn."""
    check = _certified().get(check_id)
    if isinstance(check, LawCheck):
        function: Any = LAWS[check.law].check
        while isinstance(function, partial):
            function = function.func
        return f"{_near(function.__code__.co_filename)}:{function.__code__.co_firstlineno}"
    file, line = _scenarios().get(check_id, ("", 0))
    return f"{_near(file)}:{line}" if file else ""


@cache
def _certified() -> dict[str, Check]:
    return {check.id: check for check in certification()}


@cache
def _scenarios() -> dict[str, tuple[str, int]]:
    return lines()


def _near(file: str) -> str:
    """From here, where it lies below; the whole path elsewhere."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file
