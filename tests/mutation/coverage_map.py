"""Which tests run which lines, and how long each takes."""

import hashlib
import pickle
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import coverage

from .population import ROOT, Mutant, modules, text


@dataclass
class CoverageMap:
    """What was seen when every test ran once on the code as it is.

    Attributes:
        seconds: How long each test took.
        lines: Module -> line -> the tests that ran it, numbered as in `seconds`.
        imported: Module -> the lines that ran before any test.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    imported: dict[str, set[int]] = field(default_factory=dict)

    def add(self, path: str, data: coverage.CoverageData) -> None:
        """Takes over what `data` says of a module."""
        by_line = data.contexts_by_lineno(str(ROOT / path))
        for line, tests in by_line.items():
            self.lines.setdefault(path, {}).setdefault(line, set()).update(set(tests) - {""})
        self.imported[path] = {line for line, tests in by_line.items() if "" in tests}

    @classmethod
    def read(cls, file: Path | None) -> "CoverageMap":
        """What was kept in the file; an empty map where there is none, or the modules have changed since."""
        if file is None or not file.exists():
            return cls()
        modules_then, found = pickle.loads(file.read_bytes())
        return found if modules_then == _digest() else cls()

    def write(self, file: Path) -> None:
        """Keeps the map in the file."""
        file.write_bytes(pickle.dumps((_digest(), self)))

    def only(self, names: Container[str]) -> "CoverageMap":
        """The map of these tests alone."""
        lines = {
            path: {line: {test for test in tests if test in names} for line, tests in by_line.items()}
            for path, by_line in self.lines.items()
        }
        return CoverageMap({test: s for test, s in self.seconds.items() if test in names}, lines, self.imported)

    def tests(self, mutant: Mutant) -> set[str]:
        """The tests that can see the mutant: of its line, else of its statement.

        What runs on import is told by no test's lines: a default is seen by the tests of its function, a member by
        those of its class, a row of a table by those of its module; where there are none, by all.
        """
        lines = self.lines.get(mutant.path, {})
        first, last = mutant.statement
        if found := lines.get(mutant.line, set()):
            return found
        if not self.runs_on_import(mutant):
            return _union(lines.get(line, set()) for line in range(first, last + 1))
        first, last = mutant.scope
        inner = _union(tests for line, tests in lines.items() if first <= line <= last)
        return inner or _union(lines.values()) or set(self.seconds)

    def runs_on_import(self, mutant: Mutant) -> bool:
        """Whether the mutant's statement ran before any test did."""
        first, last = mutant.statement
        return not self.imported.get(mutant.path, set()).isdisjoint(range(first, last + 1))


def _digest() -> str:
    return hashlib.sha256("".join(map(text, modules())).encode()).hexdigest()


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)
