"""The blind set as a table: `python -m tests.audit.blind.summary [--lines FILE] [MODULE ...]`, all modules by default.

Every truth is audited in this one process, which takes half an hour. The rows are the modules; below them is each truth
that was not told. FILE gets one line of JSON for each truth.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.audit.blind.blindset import ALL, audited, identity, missed
from tests.audit.blind.truth import Truth


def answer(truth: Truth) -> dict[str, Any]:
    """What an audit says of one truth."""
    try:
        report = audited(truth)
    except pytest.skip.Exception as lacking:
        return {"truth": identity(truth), "module": truth.module, "kind": "skipped", "wrong": [str(lacking)]}
    faults = {finding.code for finding in report.findings if finding.severity == "fault"}
    allowed = {code for item in truth.faults for code in item.rstrip("?").split("|")}
    false = faults - allowed - ({"unexplained"} if truth.faults else set())
    misnamed = report.algorithm is not None and report.algorithm not in truth.algorithms
    wrong = missed(truth, report)
    kind = "right" if not wrong else "accused" if false or misnamed else "missed"
    answered = {"kind": kind, "wrong": wrong, "seconds": round(report.seconds, 2), "report": str(report)}
    return {"truth": identity(truth), "module": truth.module, **answered}


def table(answers: list[dict[str, Any]]) -> str:
    """The answers counted by module, as a table in Markdown."""
    kinds = ("right", "missed", "accused")
    rows = ["| module | truths | named rightly | missed | falsely accused | seconds each |", "| --- |" + " ---: |" * 5]
    heard = [each for each in answers if each["kind"] != "skipped"]
    for module in [*dict.fromkeys(each["module"] for each in heard), "all"]:
        own = [each for each in heard if module in (each["module"], "all")]
        count, seconds = Counter(each["kind"] for each in own), sum(each["seconds"] for each in own)
        figures = [len(own), *(count[kind] for kind in kinds), f"{seconds / max(len(own), 1):.1f}"]
        rows.append(f"| {module} | {' | '.join(map(str, figures))} |")
    return "\n".join(rows)


def main() -> None:
    """Audit the truths and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--lines", type=Path)
    chosen = parser.parse_args()
    answers = []
    for truth in ALL:
        if chosen.modules and truth.module not in chosen.modules:
            continue
        answers.append(answer(truth))
        if chosen.lines is not None:
            with chosen.lines.open("a") as file:
                file.write(json.dumps(answers[-1]) + "\n")
    print(table(answers))
    for each in answers:
        if each["kind"] != "right":
            print(f"\n{each['kind']}: {each['truth']}: {'; '.join(each['wrong'])}")


if __name__ == "__main__":
    main()
