"""The figures of one or several runs between two marks of a document, and the plots beside it.

python -m metaspec.benchmarks.document bench.json [more.json ...] docs/performance.md
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaspec.benchmarks.plots import draw
from metaspec.benchmarks.tables import HEADINGS, LEGEND, cells, rows
from metaspec.errors import InvalidArgumentError

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
    """Put the tables and plots of a run into the document.

    Raises:
        InvalidArgumentError: It has no place for them.
        LibraryMissingError: matplotlib is not installed.
    """
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidArgumentError(f"{document}: expected the marks {BEGIN} and {END} around the figures")
    plots = draw(results, document.parent)
    pictures = [f"![time and memory against {file.stem.partition('-')[2]}]({file.name})" for file in plots]
    document.write_text("\n".join([before + BEGIN, markdown(results), *pictures, "", END + after]))


def joined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one: of what two measured, a case in a framework, the later has it.

    Raises:
        InvalidArgumentError: They are of different machines, versions or dtypes.
    """
    one = dict(runs[0])
    for other in runs[1:]:
        for name in ("metaspec", "dtype", "machine"):
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
    machine = results["machine"]
    versions = {name: version for found in results["versions"].values() for name, version in found.items()}
    lines = [
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + f"; {results['dtype']}.",
        "",
        LEGEND,
        "",
    ]
    for workload, title in TITLES.items():
        cases = [case for case in results["cases"] if case["workload"] == workload]
        if cases:
            lines += [f"### {title}", ""]
        for case in cases:
            lines += [f"{case['id']} ({case['parameters']:,} parameters):", ""]
            lines += ["| " + " | ".join(HEADINGS) + " |", "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)]
            found = list(rows(results, case))
            lines += ["| " + " | ".join(cells(row)) + " |" for row in found if row.problem is None] + [""]
            lines += [f"{row.framework}, {row.form}: {row.problem}\n" for row in found if row.problem is not None]
    return "\n".join(lines)


def main() -> None:
    """Take files of `metaspec bench --json` and a document."""
    *sources, document = sys.argv[1:]
    if not sources:
        raise SystemExit(__doc__)
    write(joined([json.loads(Path(source).read_text()) for source in sources]), Path(document))


if __name__ == "__main__":
    main()
