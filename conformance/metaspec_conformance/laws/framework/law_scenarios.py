"""The scenarios that laws are certified on: few, so that a framework compiles little."""

from collections.abc import Callable, Iterable

from metaspec_conformance.scenarios.certified import named
from metaspec_conformance.scenarios.scenario import Scenario

FOUR = ("maml", "fomaml", "reptile", "imaml")


def scenarios(*ids: str) -> Callable[[], Iterable[Scenario]]:
    """Scenarios of the certification list; "{}" in an id stands for each of the four algorithms."""

    def found() -> list[Scenario]:
        return [named(i.format(a)) for i in ids for a in (FOUR if "{}" in i else ("",))]

    return found


def algorithm(*names: str) -> Callable[[Scenario], bool]:
    """Applies to scenarios of these algorithms: "MAML", "FOMAML", "Reptile", "IMAML"."""
    return lambda scenario: scenario.algorithm_name in names


def nowhere(scenario: Scenario) -> bool:
    """Applies to no drawn scenario: the law needs a problem of its own."""
    return False


def several_tasks(scenario: Scenario) -> bool:
    """Applies to scenarios of more than one task."""
    return len(scenario.tasks) > 1
