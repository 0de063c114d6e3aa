"""A form: one way to compute a case's meta-gradient in one framework."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from metaspec_benchmarks.benchmark_cases import BenchmarkCase

Kind = Literal["metaspec", "library", "hand-written", "limit"]


class Built(NamedTuple):
    """A form made ready for one case.

    Attributes:
        run: One computation, done when it returns; what it returns, `arrays` takes.
        arrays: The meta-gradient as NumPy arrays by the case's names of parameters; None of a form with another result.
        work: How often a call does what the time is asked for.
    """

    run: Callable[[], Any]
    arrays: Callable[[Any], Mapping[str, Any]] | None
    work: int = 1


@dataclass(frozen=True)
class TimedForm:
    """One way to compute.

    Attributes:
        name: As tables show it; unique within its framework.
        kind: Whose code it is. "limit": no meta-gradient, a time to hold others against.
        build: Makes it ready; None where it does not apply to the case.
        needs: Distributions that must be installed, with the module that each is imported as.
        slow: It compiles for longer than a quick run, or the many cases of the series, should last.
    """

    name: str
    kind: Kind
    build: Callable[[BenchmarkCase], Built | None]
    needs: tuple[tuple[str, str], ...] = ()
    slow: bool = False

    def missing(self) -> str | None:
        """What is to be installed before it can run; None where all is there."""
        absent = [name for name, module in self.needs if find_spec(module) is None]
        return f"not installed: {', '.join(absent)}" if absent else None

    def versions(self) -> dict[str, str]:
        """Return the versions of the modules that the form needs."""
        return {name: metadata.version(name) for name, module in self.needs if find_spec(module) is not None}
