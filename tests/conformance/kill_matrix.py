"""Which check sees which seeded fault: `python -m tests.conformance.kill_matrix --write docs/kill-matrix.md`.

Every fault meets every law and every scenario of the certification list, on the NumPy backend: minutes on two cores.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metaspec_conformance.judging.evidence import Check
from tests.conformance import fault_detection
from tests.conformance.seeded_faults import FAULTS, SEEN, Fault

FILE = Path(__file__).parents[2] / "docs" / "kill-matrix.md"
COMMAND = "python -m tests.conformance.kill_matrix --write docs/kill-matrix.md"


@dataclass(frozen=True)
class MatrixRow:
    """A fault, and the laws and the topics of scenarios that see it."""

    fault: str
    laws: tuple[str, ...]
    topics: tuple[str, ...]


def row(name: str, only: frozenset[str] = frozenset()) -> MatrixRow:
    """The fault against everything, or against some laws and topics."""
    fault = FAULTS[name]
    seen = [
        tuple(
            group
            for group, checks in groups.items()
            if (not only or group in only) and any(_kills(fault, check) for check in checks)
        )
        for groups in (fault_detection.laws(), fault_detection.scenarios())
    ]
    return MatrixRow(name, *seen)


def _kills(fault: Fault, check: Check) -> bool:
    return (
        fault_detection.meets(fault, check)
        and fault_detection.reaches(fault, check)
        and fault_detection.kills(fault, check)
    )


def rows(names: Iterable[str], only: frozenset[str], processes: int) -> list[MatrixRow]:
    """A row for each fault."""
    for check in fault_detection.by_id().values():  # before the processes part, so that each has it
        if not only or fault_detection.group(check) in only:
            fault_detection.known(check.id)
            fault_detection.executed(check.id)
    found = []
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=20) as pool:
        for one in pool.imap_unordered(partial(row, only=only), names):
            found.append(one)
            print(f"{len(found):4d} {one.fault}: {len(one.laws)} laws, {len(one.topics)} topics", file=sys.stderr)
    return found


def merged(old: Iterable[MatrixRow], new: Iterable[MatrixRow], only: frozenset[str]) -> list[MatrixRow]:
    """What was found anew in place of what was found before; what is no fault, law or topic any more is left out."""
    before = {one.fault: one for one in old}
    after = {one.fault: one for one in new}

    def joined(fault: str, part: str, groups: Iterable[str]) -> tuple[str, ...]:
        kept = set(getattr(before[fault], part)) if fault in before else set()
        if fault in after:
            kept = (kept - only if only else set()) | set(getattr(after[fault], part))
        return tuple(group for group in groups if group in kept)

    known = [fault for fault in FAULTS if fault in before or fault in after]
    laws, topics = fault_detection.laws(), fault_detection.scenarios()
    return [MatrixRow(fault, joined(fault, "laws", laws), joined(fault, "topics", topics)) for fault in known]


def text(found: list[MatrixRow]) -> str:
    """The document."""
    laws, topics = fault_detection.laws(), fault_detection.scenarios()
    killed = {name: [r.fault for r in found if name in r.laws] for name in laws}
    by_topic = {name: [r.fault for r in found if name in r.topics] for name in topics}
    alone = {name: [r.fault for r in found if r.laws == (name,) and not r.topics] for name in laws}
    parts = [
        "# Which check sees which fault",
        "",
        f"Made by `{COMMAND}`; nothing here is written by hand.",
        "",
        "The suite is itself tested: each of the faults below is something broken on purpose "
        "(`tests/conformance/seeded_faults/`), and meets the laws and scenarios of the certification list on the NumPy "
        "backend. A check *sees* a fault if it fails. A fault that nothing sees fails the tests, and so does a law "
        "that sees no fault.",
        "",
        "Left out is what cannot see a fault: a check that calls nothing of what is broken; laws of task sources, but "
        "for `source/every-backend`, where the fault is not in a source; for faults in sources and in training, "
        "whatever is not a law of these; `backend-of-the-environment`, which looks at other processes, where the fault "
        "is not in the interface.",
        "",
        f"{len(found)} faults, {len(laws)} laws, {sum(map(len, topics.values()))} scenarios in {len(topics)} topics: "
        f"every fault is seen; {sum(bool(r.laws) for r in found)} faults by at least one law, "
        f"{sum(bool(r.topics) for r in found)} by at least one scenario.",
        "",
        "## Faults",
        "",
        "*bugs*: the numbers, in the last table, of bugs that public implementations had. *laws*, *topics*: how many "
        "see it.",
        "",
        "| fault | where | what is wrong | bugs | laws | topics | seen by laws | seen by scenarios |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_fault_line(r) for r in found),
        "",
        "## Laws",
        "",
        "*alone*: the faults that no other law and no scenario sees.",
        "",
        "| law | faults | alone |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {len(killed[name])} | {_names(alone[name])} |" for name in laws),
        "",
        "## Scenarios",
        "",
        "| topic | scenarios | faults |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {len(topics[name])} | {len(by_topic[name])} |" for name in topics),
        "",
        "## Bugs that public implementations had",
        "",
        "| # | bug | where it was seen | faults |",
        "| --- | --- | --- | --- |",
        *(f"| {i} | {bug} | {where} | {_names(_of(i))} |" for i, (bug, where) in SEEN.items()),
        "",
    ]
    return "\n".join(parts)


def _fault_line(r: MatrixRow) -> str:
    fault = FAULTS[r.fault]
    says = fault.says.replace("|", "\\|")
    numbers = ", ".join(map(str, fault.rows))
    counts = f"{len(r.laws)} | {len(r.topics)}"
    return f"| `{r.fault}` | {fault.kind} | {says} | {numbers} | {counts} | {_names(r.laws)} | {_names(r.topics)} |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _of(number: int) -> list[str]:
    return [name for name, fault in FAULTS.items() if number in fault.rows]


def read(document: str) -> list[MatrixRow]:
    """The rows of the table of faults in a document that `text` made."""
    table = document.partition("## Faults")[2].partition("\n## ")[0]
    cells = [line.replace("\\|", "¦").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return [MatrixRow(_unquoted(c[0])[0], _unquoted(c[-2]), _unquoted(c[-1])) for c in cells]


def _unquoted(cell: str) -> tuple[str, ...]:
    return tuple(part for i, part in enumerate(cell.split("`")) if i % 2)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, default=None, help="the file to write; without it, standard output")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=(), help="these laws and topics; the rest is as the file has it")
    parser.add_argument("faults", nargs="*", help="these faults; the rest is as the file has it")
    options = parser.parse_args()
    only = frozenset(options.only)
    unknown = (set(options.faults) - set(FAULTS)) | (
        only - set(fault_detection.laws()) - set(fault_detection.scenarios())
    )
    if unknown:
        parser.error(f"no such fault, law or topic: {', '.join(sorted(unknown))}")
    partly = bool(options.faults or only)
    old = read(FILE.read_text(encoding="utf-8")) if partly and FILE.exists() else []
    found = merged(old, rows(options.faults or FAULTS, only, options.processes), only)
    if options.write is None:
        print(text(found))
    else:
        options.write.write_text(text(found), encoding="utf-8")
    escaped = [one.fault for one in found if not (one.laws or one.topics)]
    if escaped:
        sys.exit(f"nothing sees: {', '.join(escaped)}")


if __name__ == "__main__":
    main()
