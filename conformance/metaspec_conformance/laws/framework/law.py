"""What a law is, and the table of all laws."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

from metaspec_conformance.laws.framework.claims import Claim
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.scenarios.scenario import Scenario

PROTOCOL = "protocol"
ONE_FORMAT = ("float64",)  # for laws of how things are put together: the scenarios see to the digits of each format

Check = Callable[[LawContext], Iterator[Claim]]


def everywhere(scenario: Scenario) -> bool:
    """A law of every scenario."""
    return True


@dataclass(frozen=True)
class Law:
    """One statement of SPEC.md as something that runs.

    Attributes:
        name: What it is called in reports, "permuted-tasks".
        formula: What is claimed, in the notation of SPEC.md.
        clauses: The clauses of SPEC.md that it follows from.
        check: Computes on a backend and yields claims.
        scenarios: The scenarios of its certification.
        applies: Whether it can be checked on a scenario that was drawn.
        subject: What reports count it under; None is the scenario's algorithm.
        numeric: Whether it claims numbers; it must then be true in extended precision, where it gets its amplification.
        dtypes: The formats that it is certified in.
    """

    name: str
    formula: str
    clauses: tuple[str, ...]
    check: Check
    scenarios: Callable[[], Iterable[Scenario]]
    applies: Callable[[Scenario], bool]
    subject: str | None
    numeric: bool
    dtypes: tuple[str, ...]


def hyphenated(room: str = "") -> Callable[[str], str]:
    """Return the naming of laws by their functions: `by_index` is "by-index" of the room."""
    return lambda function: room + function.replace("_", "-")


_laws: dict[str, Law] = {}
LAWS = MappingProxyType(_laws)


def law(
    formula: str,
    *clauses: str,
    on: Callable[[], Iterable[Scenario]],
    applies: Callable[[Scenario], bool] = everywhere,
    subject: str | None = None,
    numeric: bool = True,
    dtypes: tuple[str, ...] = ("float32", "float64"),
    naming: Callable[[str], str] | None = None,
) -> Callable[[Check], Check]:
    """Enter a function LawContext -> claims into the table of laws; see `Law`.

    `naming` makes the law's name of the function's; without it, hyphens stand for underscores.
    """

    def enter(check: Check) -> Check:
        name = (naming or hyphenated())(check.__name__)
        if name in _laws:
            raise ValueError(f"law {name!r} is there twice")
        _laws[name] = Law(name, formula, clauses, check, on, applies, subject, numeric, dtypes)
        return check

    return enter
