"""The command: which mutants, how many at a time, where the results go."""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .plugin import OPTIONS, TEST_PATHS, make_repeatable
from .population import ROOT, Mutant, modules, population, sample
from .report import report
from .session import Session, Verdict


class Log:
    """Writes a line of JSON for each verdict, and a line for the reader for each that is alive."""

    def __init__(self, file: Path | None, total: int) -> None:
        self.file, self.total, self.count, self.killed = file, total, 0, 0
        self.begin = time.monotonic()
        if file is not None:
            file.write_text("")

    def start(self, seconds: Mapping[str, float], failing: Collection[str]) -> None:
        print(f"{len(seconds)} tests of {sum(seconds.values()):.0f} s; {self.total} mutants", flush=True)
        for name in sorted(failing):
            print(f"left out, it fails without a mutant: {name}", flush=True)

    def add(self, verdict: Verdict) -> None:
        self.count += 1
        self.killed += verdict.status in ("killed", "timeout")
        before, after = verdict.mutant.change()
        if self.file is not None:
            record = asdict(verdict) | {"room": verdict.mutant.room, "before": before, "after": after}
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")
        if verdict.status in ("survived", "untested"):
            m = verdict.mutant
            print(f"{m.path}:{m.line} [{m.operator}] {verdict.status}\n    - {before}\n    + {after}", flush=True)
        if self.count % 100 == 0 or self.count == self.total:
            spent = time.monotonic() - self.begin
            print(f"{self.count}/{self.total}: {self.killed} killed, {spent:.0f} s", flush=True)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation test of the specification.")
    parser.add_argument(
        "paths", nargs="*", help="modules or folders, from the repository's root; default: all in scope"
    )
    parser.add_argument("--tests", nargs="+", default=TEST_PATHS, help="folders and files of tests")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn uniformly; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--json", type=Path, help="a file for the verdicts, one line each")
    parser.add_argument("--cache", type=Path, help="a file that keeps which test runs which line")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for a mutant, at most")
    parser.add_argument("--again", type=Path, help="only the mutants that live in this file of verdicts")
    parser.add_argument(
        "--report", type=Path, nargs="+", help="print tables of verdicts, later files correcting the first; run nothing"
    )
    args = parser.parse_args()
    os.chdir(ROOT)
    if args.report:
        print(report(args.report))
        return
    mutants = [mutant for mutant in population() if mutant.path.startswith(tuple(args.paths or [""]))]
    if args.again:
        mutants = _alive(mutants, args.again)
    if args.sample:
        mutants = sample(mutants, args.sample, args.seed)
    sys.exit(run(mutants, args.jobs, args.json, args.cache, args.budget, args.tests))


def run(
    mutants: list[Mutant], jobs: int, file: Path | None, cache: Path | None, budget: float, tests: Sequence[str]
) -> int:
    """Judges the mutants in one pytest session."""
    import coverage
    import pytest

    measuring = coverage.Coverage(data_file=None, include=[str(ROOT / path) for path in modules()])
    measuring.start()
    make_repeatable()
    session: Any = Session(mutants, measuring, jobs, Log(file, len(mutants)), cache, budget)
    return int(pytest.main([*OPTIONS, *tests], plugins=[session]))


def _alive(mutants: list[Mutant], verdicts: Path) -> list[Mutant]:
    """Those that live in the file; they may have moved since."""
    records = [json.loads(line) for line in verdicts.read_text(encoding="utf-8").splitlines()]
    alive = [r for r in records if r["status"] in ("survived", "untested")]
    changes = {(r["mutant"]["path"], r["mutant"]["operator"], r["before"], r["after"]) for r in alive}
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, operator, before, _ in changes:
        lines[path, operator].append(before)
    near = [m for m in mutants if any(m.first_line() in before for before in lines[m.path, m.operator])]
    return [m for m in near if (m.path, m.operator, *m.change()) in changes]
