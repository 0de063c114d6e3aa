"""`metaspec bench`."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from metaspec.backend.registry import registered_names
from metaspec.cli.completion import among
from metaspec.errors import InvalidArgumentError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "bench",
        help="Time metaspec on each backend beside the libraries in use and hand-written code: one process for each "
        "framework, results checked equal first, repetitions taken in turn. The exit status is 1 where a form of "
        "metaspec gives no figures.",
        epilog="Examples:  metaspec bench --quick  |  metaspec bench --workload W1 --framework torch --json bench.json",
    )(bench)


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="The sinusoid network alone, few repetitions, no slow compilers.")
    ] = False,
    workload: Annotated[
        list[str] | None,
        typer.Option(help="W1, W2, W3, imaml, large, k64 or series; may be repeated, or joined by commas."),
    ] = None,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            "--framework",
            "--backend",
            help="A backend; likewise. Default: all that are installed.",
            autocompletion=among(registered_names()),
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="For each form, about; 0: once. Default: 4, or 0.3 with --quick.", min=0.0)
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write all figures as JSON, those of a run that is broken off too.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Time metaspec beside others."""
    from metaspec.atomic_files import atomic_writer
    from metaspec_benchmarks.benchmark_cases import selected
    from metaspec_benchmarks.benchmark_suite import run
    from metaspec_conformance.workers.targets import resolved

    cases = selected(_names("--workload", workload), quick=quick)
    frameworks = resolved(_names("--framework", framework))
    if seconds is not None and not math.isfinite(seconds):
        raise InvalidArgumentError(f"--seconds: expected a number of seconds, got {seconds}")
    if json_file is not None:
        _check_place(json_file)
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    each = seconds if seconds is not None else 0.3 if quick else 4.0

    def keep(results: Any) -> None:
        if json_file is not None:
            with atomic_writer(json_file) as stream:
                stream.write(json.dumps(results.as_json(), indent=1).encode() + b"\n")

    results = run(cases, frameworks, seconds=each, quick=quick, say=say, keep=keep).as_json()
    _print(console, results, say)
    failed = [
        record for record in results["records"] if record["kind"] in ("metaspec", "process") and record["problem"]
    ]
    raise typer.Exit(1 if failed else 0)


def _names(option: str, given: list[str] | None) -> list[str]:
    names = [name.strip() for text in given or [] for name in text.split(",")]
    for name in names:
        if not name:
            raise InvalidArgumentError(f"{option}: expected names joined by commas, got {','.join(given or [])!r}")
        if names.count(name) > 1:
            raise InvalidArgumentError(f"{option}: {name!r} is given twice")
    return names


def _check_place(file: Path) -> None:
    """Before hours of measuring, not after."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise InvalidArgumentError(f"--json: there is no folder {folder}")
    if file.is_dir():
        raise InvalidArgumentError(f"--json: expected a file, {file} is a folder")
    if not os.access(folder, os.W_OK):
        raise InvalidArgumentError(f"--json: cannot write in {folder}")


def _print(console: Console, results: dict[str, Any], say: Callable[[str], None]) -> None:
    from metaspec_benchmarks.result_tables import HEADINGS, LEGEND, cells, processor, rows

    for case in results["cases"]:
        table = Table(title=case["id"], title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, heading in enumerate(HEADINGS):
            figures = number > 1
            table.add_column(heading, justify="right" if figures else "left", no_wrap=figures, overflow="fold")
        found = list(rows(results, case))
        for row in found:
            if row.problem is None:
                table.add_row(*cells(row))
        console.print(table)
        for row in found:
            if row.problem is not None:
                say(f"{row.framework}, {row.form}: {row.problem}")
    say(f"\n{LEGEND}\n")
    say(f"{processor(results)}, Python {results['machine']['python']}, {results['dtype']}")
    for framework, versions in results["versions"].items():
        say(f"{framework}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
        for form, why in results["missing"][framework].items():
            say(f"  {form}: {why}")
