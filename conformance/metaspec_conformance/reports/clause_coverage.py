"""Which law and which scenario hold each clause of SPEC.md, as a Markdown document.

`python -m metaspec_conformance.reports.clause_coverage` prints it, `--write FILE` writes it, and `--check FILE` exits
with status 1 where the file differs from that document.
"""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

from metaspec_conformance.laws import LAWS, Law, certified_laws
from metaspec_conformance.scenarios.certified import certified

INTRODUCTION = """\
# Coverage of the specification

Made by `python -m metaspec_conformance.reports.clause_coverage --write docs/coverage.md`; a test fails where it is
out of date.

A *law* is a statement, mostly an equation, that has to hold on every backend; a *check* is a law on one scenario. The
*scenarios* of the certification list hold results against references. Every clause of [SPEC.md](../SPEC.md) has a law,
and no law cites a clause that is not there.
"""


def clauses(specification: str) -> list[str]:
    """The numbered clauses of the specification, in its order."""
    return re.findall(r"^\*\*(MS-[A-Z]+-\d+)\*\*", specification, flags=re.MULTILINE)


def laws_of(clause: str) -> list[Law]:
    """The laws that cite the clause."""
    return [law for law in LAWS.values() if clause in law.clauses]


def document(specification: str) -> str:
    """The whole document."""
    return "\n".join([INTRODUCTION, *_by_clause(clauses(specification)), "", *_by_law()]) + "\n"


def _by_clause(found: Sequence[str]) -> Iterator[str]:
    checks = certified_laws()
    yield "## Clauses"
    yield ""
    yield "| clause | laws | checks | scenarios |"
    yield "| --- | --- | ---: | ---: |"
    for clause in found:
        names = ", ".join(law.name for law in laws_of(clause))
        held = sum(clause in check.clauses for check in checks)
        exercised = sum(clause in scenario.clauses for scenario in certified())
        yield f"| {clause} | {names} | {held} | {exercised} |"


def _by_law() -> Iterator[str]:
    yield "## Laws"
    yield ""
    yield "| law | formula | clauses | checks |"
    yield "| --- | --- | --- | ---: |"
    for law in sorted(LAWS.values(), key=lambda law: law.name):
        formula = law.formula.replace("|", "\\|")
        yield f"| {law.name} | {formula} | {', '.join(law.clauses)} | {len(list(law.scenarios()))} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print, write or check the document; the exit status."""
    parser = ArgumentParser(
        prog="python -m metaspec_conformance.reports.clause_coverage", description="Clauses and their laws."
    )
    parser.add_argument("--spec", type=Path, default=Path("SPEC.md"), help="the specification (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document")
    parser.add_argument("--check", type=Path, metavar="FILE", help="exit status 1 where FILE is not the document")
    given = parser.parse_args(arguments)
    text = document(given.spec.read_text(encoding="utf-8"))
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    elif given.check:
        if given.check.read_text(encoding="utf-8") != text:
            print(f"{given.check} is out of date; run the same command with --write")
            return 1
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
