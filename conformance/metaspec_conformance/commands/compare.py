"""`metaspec compare`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.cli.output_files import INTERRUPTED, check_writable
from metaspec.errors import InvalidArgumentError, nearest
from metaspec.html import write
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec_conformance.compare import Comparison, SideReport, compare
from metaspec_conformance.compare.comparison_page import page_of

ALGORITHMS = {"maml": MAML, "fomaml": FOMAML, "reptile": Reptile}
WIDEST = 24  # characters of a leaf's name in the table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "compare",
        help="Where the numbers of one loss on several backends part, or of losses that ought to be the same, and why. "
        "The exit status is 0 if they agree up to rounding, 1 if they part, 2 for a wrong name or option.",
        epilog="Examples:  metaspec compare mymodel:loss --backends numpy,torch,jax --html compare.html  |  "
        "metaspec compare --loss torch=old:loss --loss jax=new:loss --map new:mapping",
    )(command)


def command(
    loss: Annotated[
        str | None,
        typer.Argument(
            help="A portable loss (params, batch) -> scalar: module:function or file.py:function.", show_default=False
        ),
    ] = None,
    backends: Annotated[
        str | None, typer.Option(help="Of a portable loss. Default: all that are installed.", metavar="A,B,...")
    ] = None,
    losses: Annotated[
        list[str] | None,
        typer.Option("--loss", help="A native loss: BACKEND=module:function, or NAME@BACKEND=...; twice or more."),
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            help="The parameters, a tree or a function that returns it: module:name; SIDE=module:name for one side's. "
            "Default: `params` of the loss's module.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Task(support, query), likewise. Default: `task` of the loss's module.", show_default=False),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Which of a side's leaves is which of the first side's: [SIDE=]module:name."),
    ] = None,
    algorithm: Annotated[str, typer.Option(help="maml, fomaml, reptile or imaml.")] = "maml",
    inner_lr: Annotated[float, typer.Option(help="Inner rate.", min=0.0)] = 0.01,
    inner_steps: Annotated[int, typer.Option(help="Inner steps.", min=0)] = 5,
    regularization: Annotated[float, typer.Option(help="iMAML's lambda.")] = 1.0,
    cg_steps: Annotated[int, typer.Option(help="iMAML's steps of conjugate gradients.", min=1)] = 5,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    seed: Annotated[int, typer.Option(help="Of the vector that Hessians are multiplied with.", min=0)] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds for one computation.", min=0.1)] = 120.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.", metavar="FILE")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write a page with heat maps.", metavar="FILE")
    ] = None,
) -> None:
    """Compare."""
    _check_form(loss, losses, backends)
    check_writable({"--json": json_file, "--html": html_file})
    found = compare(
        loss if loss is not None else _by_side("--loss", losses or []),
        [name.strip() for name in backends.split(",") if name.strip()] if backends else (),
        params=_given("--params", params),
        task=_given("--task", task),
        mapping=_given("--map", mapping),
        algorithm=_algorithm(algorithm, GradientDescent(inner_lr, inner_steps), regularization, cg_steps),
        dtype=dtype,
        seed=seed,
        timeout=timeout,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    _print(Console(), found)
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), indent=2) + "\n")
    if html_file is not None:
        write(html_file, page_of(found))
    raise typer.Exit(INTERRUPTED if found.missing else 0 if found.agreed else 1)


def _check_form(loss: str | None, losses: Sequence[str] | None, backends: str | None) -> None:
    """Raise an error that shows the form that was meant."""
    if loss is None and not losses:
        raise InvalidArgumentError(
            "compare: no loss is given; one loss on several backends: metaspec compare mymodel:loss --backends "
            "numpy,torch; two losses: metaspec compare --loss torch=old:loss --loss jax=new:loss"
        )
    if loss is not None and "=" in loss:
        raise InvalidArgumentError(f"compare: {loss!r} names a backend; native losses are given by --loss {loss}")
    if loss is not None and losses:
        given = " ".join(f"--loss {text}" for text in losses)
        raise InvalidArgumentError(
            f"compare: {loss!r} is a portable loss, which needs no others beside it; to compare it with {given}, name "
            f"its backend too: --loss BACKEND={loss} {given}"
        )
    if losses and backends:
        raise InvalidArgumentError(
            f"compare: --backends {backends} is of one portable loss; each --loss names its backend: --loss "
            f"{backends.split(',')[0]}={losses[0].rpartition('=')[2]}"
        )
    if losses and len(losses) == 1:
        place = losses[0].rpartition("=")[2]
        raise InvalidArgumentError(
            f"compare: one native loss has nothing to be held against; give a second --loss, or, if {place} runs on "
            f"every backend, metaspec compare {place}"
        )


def _algorithm(name: str, inner: GradientDescent, regularization: float, cg_steps: int) -> Any:
    if name == "imaml":
        return IMAML(inner, regularization, ConjugateGradient(cg_steps))
    if name not in ALGORITHMS:
        known = [*ALGORITHMS, "imaml"]
        raise InvalidArgumentError(f"--algorithm: {name!r} is not one of {', '.join(known)}{nearest(name, known)}")
    return ALGORITHMS[name](inner)


def _by_side(option: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        side, equals, place = text.partition("=")
        if not (side and equals and place):
            raise InvalidArgumentError(f"{option}: expected SIDE=module:name, got {text!r}")
        if side in found:
            raise InvalidArgumentError(f"{option}: {side!r} is given twice")
        found[side] = place
    return found


def _given(option: str, given: Sequence[str] | None) -> Any:
    """One place for all, or places by side."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    return _by_side(option, given)


def _print(console: Console, found: Comparison) -> None:
    for side in found.sides:
        if side.cells:
            console.print(_table(found, side))
    for note in found.notes:
        _say(console, f"note: {note}")
    for side in found.sides:
        versions = ", ".join(f"{name} {version}" for name, version in side.versions.items())
        _say(console, f"{side.name}: {side.loss} ({versions})")
    for side in found.sides:
        if side.tried:
            _say(console, f"{side.name}, tested:")
        for tried in side.tried:
            _say(console, f"  {'+' if tried.helped else '-'} {tried.kind}: {tried.test}: {tried.outcome}")
    _say(console, found.summary)


def _table(found: Comparison, side: SideReport) -> Table:
    """A row per stage: its worst leaf."""
    table = Table(caption=f"{side.name} against {found.against}, {found.dtype}: the worst leaf of each stage")
    for heading in ("stage", "leaf"):
        table.add_column(heading, overflow="fold")
    for heading in ("digits", "needed", "error", "tolerance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage, leaves in side.cells.items():
        name = max(leaves, key=lambda leaf: leaves[leaf].error / leaves[leaf].tolerance)
        cell = leaves[name]
        shown = name if len(name) <= WIDEST else f"...{name[-WIDEST + 3 :]}"
        figures = f"{cell.digits:.1f}", f"{cell.expected_digits:.1f}", f"{cell.error:.3g}", f"{cell.tolerance:g}"
        table.add_row(stage, shown, *figures, style=None if cell.agrees else "red")
    return table


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
