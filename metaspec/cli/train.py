"""`metaspec train`."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer
from rich.console import Console

from metaspec.backend.registry import registered_names
from metaspec.backend.selection import chosen_backend, get_backend
from metaspec.cli.completion import among
from metaspec.cli.rank_commands import joined_ranks
from metaspec.cli.warnings_shown import exit_status, warnings_in_one_line
from metaspec.errors import InvalidArgumentError, LibraryMissingError
from metaspec.experiments.config import FIELDS, KINDS, Config, effective, read_toml
from metaspec.experiments.display import Display
from metaspec.experiments.experiment_run import UNTRAINED, save_unfinished, train_experiment
from metaspec.experiments.illustration import illustrate
from metaspec.experiments.report_table import report_table
from metaspec.experiments.run_folder import METRICS, PICTURES, RunFolder
from metaspec.experiments.setup import adapting_algorithm, experiment_of
from metaspec.ranks import TIMEOUT, RankGroup
from metaspec.training import CheckpointError, DivergedError, JsonLines, TensorBoard
from metaspec.training.metrics import check_tensorboard

DIVERGED = 1
INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "train",
        help="Meta-train one of the papers' experiments and judge it on held-out tasks, before and after adaptation.",
        epilog="Examples:  metaspec train sinusoid  |  metaspec train --config run.toml --steps 2000  |  "
        "metaspec train omniglot --data ~/omniglot --algorithm imaml --backend jax --out runs/imaml --resume",
    )(with_settings(train))


def train(
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings, named as the options (inner_lr); options win.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run; a new one in runs/.", metavar="DIR")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's files too.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look at the loss first, and tell of divergence.")
    ] = True,
    rank_timeout: Annotated[
        float, typer.Option(help="Of several processes: seconds until one that others wait for is said to hang.", min=1)
    ] = TIMEOUT,
    **settings: Any,
) -> None:
    """Meta-train and judge."""
    given = (read_toml(config) if config else {}) | {k: v for k, v in settings.items() if v is not None}
    if resume and out is None:
        raise InvalidArgumentError("--resume: say with --out which folder's run is to go on")
    if tensorboard:
        check_tensorboard()
    if "data" in given:
        given["data"] = str(Path(os.path.expanduser(given["data"])).absolute())  # judged from elsewhere too
    saved = RunFolder.open(out) if out is not None and resume and (out / "run.json").exists() else None
    if saved is None and resume and "experiment" not in given:
        raise InvalidArgumentError(
            f"--resume: there is no run in {out} to go on with; to start one there, name the experiment or a --config"
        )
    if saved is None:
        given["backend"] = get_backend(given.get("backend") or chosen_backend() or "numpy").name
    else:
        _check_same(saved, given)
    settled = effective(given) if saved is None else saved.config
    with joined_ranks(get_backend(settled.backend), rank_timeout) as ranks:
        _train_and_judge(ranks, settled, saved, out, tensorboard, check, Console(quiet=not ranks.first))


def _train_and_judge(
    ranks: RankGroup,
    settled: Config,
    saved: RunFolder | None,
    out: Path | None,
    tensorboard: bool,
    check: bool,
    console: Console,
) -> None:
    B, problem = ranks.B, experiment_of(settled)
    if not ranks.first:
        run = RunFolder(out or Path("runs"), settled, writes=False)
    else:
        run = RunFolder.create(out, settled, B) if saved is None else saved
    callbacks: list[Any] = [JsonLines(run.folder / METRICS), Display(settled.steps, console)]
    if tensorboard:
        callbacks.append(TensorBoard(run.folder / "tensorboard"))
    _say(console, ", ".join(f"{k} {v}" for k, v in settled.saved().items()))
    try:
        with warnings_in_one_line():
            reports, done = train_experiment(run, B, problem, callbacks, lambda text: _say(console, text), check=check)
    except KeyboardInterrupt:
        steps = save_unfinished(run, B, problem) if ranks.first else 0
        _say(
            console,
            f"interrupted after {steps} of {settled.steps} steps; what was trained so far is in {run.folder}, and goes "
            f"on with: metaspec train --resume --out {quote(str(run.folder))}",
        )
        raise typer.Exit(INTERRUPTED) from None
    except DivergedError as error:
        if not ranks.first:
            raise typer.Exit(DIVERGED) from None
        print(f"error: {error}", file=sys.stderr)
        steps = save_unfinished(run, B, problem, diverged=str(error))
        _say(
            console,
            f"diverged after {steps} of {settled.steps} steps; what was trained so far is in {run.folder}. It would "
            "diverge again at the same step: change a setting (inner_lr, outer_lr, clip_norm) in another folder",
        )
        raise typer.Exit(DIVERGED) from None
    except (OSError, CheckpointError) as error:
        if not isinstance(error, OSError) and not isinstance(error.__cause__, OSError):
            raise
        raise CheckpointError(
            f"{error}. What was saved before is in {run.folder}; when there is room for more, go on with: metaspec "
            f"train --resume --out {quote(str(run.folder))}"
        ) from error
    console.print(report_table(reports))
    _say(console, f"saved in {run.folder}")
    if not ranks.first:
        return
    if status := exit_status({name: report for name, report in reports.items() if name != UNTRAINED}):
        raise typer.Exit(status)
    try:
        files = illustrate(run.folder / PICTURES, B, adapting_algorithm(settled), problem, done, done.best_params)
        _say(console, f"pictures: {', '.join(map(str, files))}")
    except LibraryMissingError as error:
        _say(console, f"no {error}")


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each setting of a `Config`, in place of its `**settings`."""
    own = list(Signature.from_callable(command).parameters.values())[:-1]
    options = []
    for name, about in FIELDS.items():
        shown = "" if about.default is None else f" ({about.default})"
        mark: Any = typer.Argument if name == "experiment" else typer.Option
        names = registered_names() if name == "backend" else about.metadata["among"]
        said = {"help": f"{about.metadata['help']}.{shown}", "autocompletion": among(names) if names else None}
        kind = Annotated[KINDS[name] | None, mark(show_default=False, **said)]  # type: ignore[valid-type]
        options.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]

    @wraps(command)
    def run(**settings: Any) -> None:
        command(**settings)

    run.__signature__ = Signature([*options, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*options, *parameters)}
    return run


def _check_same(run: RunFolder, given: Mapping[str, Any]) -> None:
    saved = run.config.saved()
    for name, value in given.items():
        if saved.get(name) != value:
            raise InvalidArgumentError(
                f"{name}: the run in {run.folder} has {saved.get(name)!r}, now it is {value!r}; leave it out, or "
                "choose another folder"
            )


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
