"""`metaspec report`."""

from pathlib import Path
from typing import Annotated

import typer

from metaspec.cli.output_files import check_writable
from metaspec.experiments.runs_page import of_runs
from metaspec.html import write


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "report",
        help="Compare runs of `metaspec train` on one self-contained HTML page: settings, versions, curves, figures, "
        "pictures.",
        epilog="Example:  metaspec report runs/sinusoid-maml-numpy-1 runs/sinusoid-reptile-numpy-1 --out report.html",
    )(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or more.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The page; what is there is replaced.", metavar="FILE")] = Path(
        "report.html"
    ),
) -> None:
    """Write the page."""
    check_writable({"--out": out})
    write(out, of_runs(runs))
    typer.echo(f"saved in {out}")
