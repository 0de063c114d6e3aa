"""`metaspec evaluate`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from metaspec.atomic_files import atomic_writer
from metaspec.backend.registry import registered_names
from metaspec.backend.selection import get_backend
from metaspec.cli.completion import among
from metaspec.cli.output_files import check_writable
from metaspec.cli.rank_commands import joined_ranks
from metaspec.cli.warnings_shown import exit_status, warnings_in_one_line
from metaspec.errors import InvalidArgumentError, nearest
from metaspec.experiments.experiment_run import evaluate_experiment
from metaspec.experiments.report_table import report_table
from metaspec.experiments.run_folder import RunFolder, versions
from metaspec.experiments.setup import experiment_of, initial_inner_state, initial_parameters
from metaspec.ranks import TIMEOUT
from metaspec.training import load_checkpoint
from metaspec.training.checkpoints import newest_first
from metaspec.training.metrics import strict

WHICH = ("best", "last")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "evaluate",
        help="Judge a run's parameters on held-out tasks, before and after adaptation, on any backend.",
        epilog="Example:  metaspec evaluate runs/sinusoid-maml-numpy-1 --inner-steps 1 --inner-steps 10 --tasks 600 "
        "--backend jax --json figures.json",
    )(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `metaspec train`.", show_default=False)],
    backend: Annotated[
        str | None, typer.Option(help="Backend; the run's own.", autocompletion=among(registered_names()))
    ] = None,
    tasks: Annotated[int | None, typer.Option(help="Held-out tasks; as many as the run's.", min=2)] = None,
    inner_steps: Annotated[list[int] | None, typer.Option(help="Inner steps; may be given again.", min=0)] = None,
    which: Annotated[str, typer.Option(help="The best parameters or the last.", autocompletion=among(WHICH))] = "best",
    data: Annotated[Path | None, typer.Option(help="Where the run's data are now.", metavar="DIR")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.", metavar="FILE")] = None,
) -> None:
    """Judge."""
    if which not in WHICH:
        raise InvalidArgumentError(f"--which: expected one of {', '.join(WHICH)}, got {which!r}{nearest(which, WHICH)}")
    check_writable({"--json": json_file})
    saved = RunFolder.open(run)
    if data is not None and saved.config.data is None:
        raise InvalidArgumentError(f"--data: has no meaning for {saved.config.experiment}; leave it out")
    settled = replace(
        saved.config,
        test_tasks=saved.config.test_tasks if tasks is None else tasks,
        data=saved.config.data if data is None else str(data),
    )
    B, problem = get_backend(backend or settled.backend), experiment_of(settled)
    if not any(newest_first(saved.checkpoints)):
        if saved.diverged:
            raise InvalidArgumentError(
                f"{run}: its training diverged before the first checkpoint; train in another folder, with a lower "
                "inner_lr or outer_lr, or with clip_norm"
            )
        raise InvalidArgumentError(
            f"{run}: its training has left no checkpoint yet; to go on with it: metaspec train --resume --out {run}"
        )
    start = initial_parameters(settled, problem)
    inner_state = initial_inner_state(settled, start, B)
    done = load_checkpoint(saved.checkpoints, start, inner_state=inner_state, backend=B)
    params = done.best_params if which == "best" else done.params
    steps = [settled.test_inner_steps] if inner_steps is None else inner_steps
    with joined_ranks(B, TIMEOUT) as ranks, warnings_in_one_line():
        reports = {k: evaluate_experiment(settled, B, problem, params, k, done.inner_state) for k in steps}
    if not ranks.first:
        return
    console = Console()
    named = {f"{k} inner step{'' if k == 1 else 's'}": report for k, report in reports.items()}
    console.print(report_table(named))
    if json_file is not None:
        figures = {
            "run": str(run),
            "backend": B.name,
            "versions": versions(B),
            "steps_taken": done.steps,
            "which": which,
            "results": [{"inner_steps": k, **r.as_dict()} for k, r in reports.items()],
        }
        with atomic_writer(json_file) as stream:
            stream.write((json.dumps(strict(figures), indent=2) + "\n").encode())
    if status := exit_status(named):
        raise typer.Exit(status)
