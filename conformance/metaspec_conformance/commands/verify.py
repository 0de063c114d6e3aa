"""`metaspec verify`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from metaspec.backend.registry import registered_names
from metaspec.cli.completion import among
from metaspec.cli.output_files import INTERRUPTED, check_writable
from metaspec.errors import InvalidArgumentError, MetaspecError, nearest
from metaspec.html import write
from metaspec_conformance.commands.kinks_table import print_kinks
from metaspec_conformance.generators import examples as drawn
from metaspec_conformance.judging.certification import certification, matching
from metaspec_conformance.judging.error_model import ROUNDOFF, tolerance
from metaspec_conformance.judging.failures import grouped, place
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.kinks.kink_measurements import Found, measure_all
from metaspec_conformance.reports import verify_report
from metaspec_conformance.reports.verify_page import page_of, programs_of
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.runner import Progress as OnProgress
from metaspec_conformance.workers.runner import VerifyReport, run
from metaspec_conformance.workers.targets import resolved

DTYPES = ("float32", "float64")
QUIET = 10.0  # seconds after which progress is told again where there is no terminal
NAMED = 8  # of the failures that say the same
STYLE = {False: None, True: "red"}  # of a row, by whether it has failures


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "verify",
        help="Certify backends: every algorithm on every scenario, against references in extended precision. "
        "The exit status is 0 only if everything agrees, 1 if something does not, 2 for a wrong name or option.",
        epilog="Examples:  metaspec verify  |  metaspec verify numpy jax --dtype float64 --json report.json  |  "
        "metaspec verify mypackage.mymodule:MyBackend --scenario 'tanh-network*'  |  "
        "metaspec verify --examples 200 --seed 7",
    )(verify)


def verify(
    backends: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backend names, or module:attribute of a Backend or Registration of yours. Default: all installed.",
            show_default=False,
            autocompletion=among(registered_names()),
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="As an argument BACKENDS; may be repeated.", autocompletion=among(registered_names())),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Only scenarios whose id contains or matches this.", metavar="PATTERN")
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            help="Draw so many scenarios beyond the list; needs hypothesis.", metavar="N", min=0, show_default=False
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the drawn scenarios; the same seed draws the same.", min=0)] = 0,
    dtype: Annotated[list[str] | None, typer.Option(help="Only this format (may be repeated).")] = None,
    workers: Annotated[int, typer.Option(help="How many processes run at a time.", min=1)] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds for one scenario.", min=0.1)] = 120.0,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Laws in every format that a backend has; without it in the widest alone, scenarios in each "
            "(with --scenario or --dtype, whatever these choose).",
        ),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Every scenario through `ms.compile`; some are anyway.")
    ] = False,
    kinks: Annotated[
        bool, typer.Option("--kinks", help="Instead: how each backend differentiates where there is no derivative.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.", metavar="FILE")] = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page with digits, errors, failures, kinks.", metavar="FILE"),
    ] = None,
) -> None:
    """Certify backends."""
    console = Console()
    targets = resolved([*(backends or ()), *(backend or ())])
    if kinks and html_file is not None:
        raise InvalidArgumentError("--html: the page of a certification has the kinks too; leave --kinks out")
    check_writable({"--json": json_file, "--html": html_file})
    if kinks:
        raise typer.Exit(0 if print_kinks(console, targets, json_file, workers) else 1)
    for wrong in set(dtype or ()) - set(DTYPES):
        raise InvalidArgumentError(f"--dtype: {wrong!r} is not one of {', '.join(DTYPES)}{nearest(wrong, DTYPES)}")
    checks = (*certification(), *drawn.examples(examples, seed))
    if scenario is not None:
        checks = matching(scenario, checks)
    if compiled:
        checks = tuple(replace(check, compiled=True) if isinstance(check, Scenario) else check for check in checks)
    if not checks:
        raise InvalidArgumentError(f"--scenario: no scenario's id contains or matches {scenario!r}")
    start = time.perf_counter()
    with _progress(console) as progress:
        every = thorough or scenario is not None or bool(dtype)
        report = run(targets, checks, dtype, workers=workers, timeout=timeout, thorough=every, progress=progress)
    seconds = time.perf_counter() - start
    _print(console, report, seconds)
    for program in drawn.counterexamples(report.failures, examples, seed, timeout):
        _say(console, f"\n# --- a program that shows it ---\n{program}")
    if json_file is not None:
        json_file.write_text(json.dumps(verify_report.as_json(report, seconds), indent=2) + "\n")
    if html_file is not None:
        write(html_file, page_of(report, seconds, programs_of(report, checks), _measured_kinks(report, workers)))
    for target, message in report.broken:
        if ":" in target and target not in report.versions:
            raise InvalidArgumentError(f"backends: {target!r} could not be loaded: {message}")
    raise typer.Exit(INTERRUPTED if report.interrupted else 0 if report.passed else 1)


def _measured_kinks(report: VerifyReport, workers: int) -> dict[str, Found]:
    """Return the kinks of the backends that started; nothing where one lacks a function that is measured."""
    try:
        return measure_all(list(report.versions), workers)
    except MetaspecError:
        return {}


@contextmanager
def _progress(console: Console) -> Iterator[OnProgress]:
    """A bar per backend on a terminal, else a line at the end of each and now and then."""
    if not console.is_terminal:
        said: dict[str, float] = {}

        def line(target: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done == total or now - said.setdefault(target, now) > QUIET:
                said[target] = now
                _say(console, f"{target}: {done} of {total}")

        yield line
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(target: str, done: int, total: int) -> None:
            if target not in tasks:
                tasks[target] = bars.add_task(target, total=total)
            bars.update(tasks[target], completed=done)

        yield advance


def _print(console: Console, report: VerifyReport, seconds: float) -> None:
    if report.outcomes:
        console.print(_table(report))
    for target, versions in report.versions.items():
        _say(console, f"{target}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    _say(console, verify_report.statement(report.thorough))
    for oracle, count in verify_report.oracles(report).items():
        _say(console, f"  {count} scenarios against {oracle}")
    for target, message in report.broken:
        _say(console, f"FAILED {target}: {message}")
    for hint in verify_report.hints(report):
        _say(console, f"HINT {hint}")
    for group in grouped(report.failures):
        _say(console, f"FAILED {_failure(group.first)}")
        if where := place(group.first.scenario):
            _say(console, f"  said in {where}")
        if group.others:
            more = ", ".join(group.names[:NAMED]) + (", ..." if len(group.names) > NAMED else "")
            _say(console, f"  and {len(group.others)} like it: {more}")
    work = f"{len(report.outcomes)} computations in {seconds:.0f} s"
    failed = len(report.failures) + len(report.broken)
    if report.interrupted:
        _say(console, f"interrupted: {failed} failed, of the {work} that were done")
    elif not report.outcomes:
        _say(console, "nothing was computed")
    else:
        _say(console, f"all agree: {work}" if report.passed else f"{failed} failed, of {work}")


def _table(report: VerifyReport) -> Table:
    table = Table(show_edge=False)
    table.add_column("backend", overflow="fold")
    for heading in ("algorithm", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in ("checks", "failed", "error", "room", "digits"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in verify_report.rows(report):
        worst = "-" if row.worst is None else f"{row.worst:.3g}"
        headroom = "-" if row.headroom is None else f"{row.headroom:.1f}"
        digits = "-" if row.digits is None else f"{row.digits:.1f}"
        figures = str(row.scenarios), str(row.failures), worst, headroom, digits
        table.add_row(row.backend, row.algorithm, row.dtype, *figures, style=STYLE[bool(row.failures)])
    table.caption = (
        "error: the worst, in roundoffs x amplification; room: tolerance / error; digits: the fewest that agree"
    )
    return table


def _failure(outcome: Outcome) -> str:
    name = f"{outcome.backend} {outcome.algorithm} {outcome.scenario} {outcome.dtype}: {outcome.message}"
    if outcome.worst is None or outcome.worst.passed:
        return name
    worst = outcome.worst
    units = f"{worst.error:.3g} roundoffs x amplification {worst.amplification:.1f}"
    limit = tolerance(outcome.dtype) * worst.amplification * ROUNDOFF[outcome.dtype]
    return f"{name} = {units}; tolerance {worst.tolerance:g}, i.e. {limit:.1e}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
