"""The figures of one or several runs between two marks of a document, and the plots beside it.

python -m metaspec_benchmarks.performance_document bench.json [more.json ...] docs/performance.md
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from metaspec.atomic_files import atomic_writer
from metaspec.errors import InvalidArgumentError, MetaspecError
from metaspec_benchmarks.result_plots import AXES, draw
from metaspec_benchmarks.result_tables import (
    HEADINGS,
    LEGEND,
    SUMMARY,
    SUMMARY_LEGEND,
    cells,
    processor,
    rows,
    series,
    summary,
)

KEYS = ("metaspec", "source", "dtype", "machine", "versions", "missing", "cases", "records")
BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"
TITLES = {
    "W1": "Sinusoid network",
    "W2": "Omniglot network",
    "W3": "Wide network",
    "imaml": "iMAML",
    "large": "Many tasks",
    "k64": "Long inner loops",
}


def write(results: dict[str, Any], document: Path) -> None:
    """Put the tables and plots of a run into the document, and the run itself beside it.

    Raises:
        InvalidArgumentError: It has no place for them.
        LibraryMissingError: matplotlib is not installed.
    """
    try:
        before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{document}: expected a Markdown document that can be read; {error}") from error
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidArgumentError(f"{document}: expected the marks {BEGIN} and {END} around the figures")
    plots = draw(results, document.parent)
    pictures = [f"![time and memory against {file.stem.partition('-')[2]}]({file.name})" for file in plots]
    with atomic_writer(document.with_suffix(".json")) as stream:
        stream.write(json.dumps(results).encode() + b"\n")
    with atomic_writer(document) as stream:
        stream.write("\n".join([before + BEGIN, markdown(results), *pictures, "", END + after]).encode())


def read(source: Path) -> dict[str, Any]:
    """A run as `metaspec bench --json` wrote it.

    Raises:
        InvalidArgumentError: It is not there, or something else.
    """
    try:
        run = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"{source}: expected what `metaspec bench --json FILE` writes; {error}") from error
    lacking = [name for name in KEYS if not isinstance(run, dict) or name not in run]
    if lacking:
        raise InvalidArgumentError(
            f"{source}: expected what `metaspec bench --json FILE` writes; it has no {', '.join(lacking)}"
        )
    return run


def joined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one: of what two measured, a case in a framework, the later has it.

    Raises:
        InvalidArgumentError: They are of different machines, versions or dtypes.
    """
    one = dict(runs[0])
    for other in runs[1:]:
        for name in ("metaspec", "source", "dtype", "machine"):
            if other[name] != one[name]:
                raise InvalidArgumentError(f"runs of different {name} in one document: {one[name]} and {other[name]}")
        differing = [k for k, v in other["versions"].items() if one["versions"].get(k, v) != v]
        if differing:
            raise InvalidArgumentError(f"runs of different versions in one document: {', '.join(differing)}")
        one["versions"], one["missing"] = one["versions"] | other["versions"], one["missing"] | other["missing"]
        cases = {(case["workload"], case["id"]): case for case in [*one["cases"], *other["cases"]]}
        again = {(record["case"], record["framework"]) for record in other["records"]}
        kept = [record for record in one["records"] if (record["case"], record["framework"]) not in again]
        one |= {"cases": list(cases.values()), "records": kept + other["records"]}
    place = {framework: number for number, framework in enumerate(sorted(one["versions"]))}
    one["records"] = sorted(one["records"], key=lambda record: place[record["framework"]])
    return one


def markdown(results: dict[str, Any]) -> str:
    """The tables, a heading for each workload; series are for plots."""
    versions = {name: version for found in results["versions"].values() for name, version in found.items()}
    lines = [
        f"{processor(results)}; Python {results['machine']['python']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + f"; {results['dtype']}.",
        "",
        LEGEND,
        "",
    ]
    lines += _in_short(results)
    for workload, title in TITLES.items():
        cases = [case for case in results["cases"] if case["workload"] == workload]
        if cases:
            lines += [f"### {title}", ""]
        for case in cases:
            lines += [f"{case['id']} ({case['parameters']:,} parameters):", ""]
            found = list(rows(results, case))
            lines += [*_table(HEADINGS, [cells(row) for row in found if row.problem is None]), ""]
            lines += [f"{row.framework}, {row.form}: {row.problem}\n" for row in found if row.problem is not None]
    return "\n".join(lines)


def _in_short(results: dict[str, Any]) -> list[str]:
    cases = [case for case in results["cases"] if case["workload"] in TITLES]
    lines = ["### In short", "", SUMMARY_LEGEND, ""]
    for framework in results["versions"]:
        found = [cells for case in cases for cells in summary(results, framework, case)]
        if found:
            lines += [f"{framework}:", "", *_table(SUMMARY, found), ""]
    for axis, each in (("steps", "inner step"), ("tasks", "task"), ("parameters", "thousand parameters")):
        headings, found = series(results, axis)
        if found:
            lines += [f"Time for each {each}, against {AXES[axis]}:", "", *_table(headings, found), ""]
    return lines


def _table(headings: Sequence[str], found: Iterable[Sequence[str]]) -> list[str]:
    ruled = "| --- | --- |" + " ---: |" * (len(headings) - 2)
    return ["| " + " | ".join(headings) + " |", ruled, *("| " + " | ".join(line) + " |" for line in found)]


def main() -> None:
    """Take files of `metaspec bench --json` and a document."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *sources, document = map(Path, sys.argv[1:])
    try:
        write(joined([read(source) for source in sources]), document)
    except MetaspecError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
