"""`metaspec train`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from metaspec.choice import chosen_backend, get_backend
from metaspec.errors import InvalidArgumentError
from metaspec.training import Adam, Report, StepRecord, meta_test, training_steps
from metaspec.training.presets import ALGORITHMS, SETTINGS, Experiment, omniglot, sinusoid
from metaspec.training.runfolder import RunFolder

INTERRUPTED = 130
SMOOTHING = 0.95


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "train",
        help="Meta-train one of the papers' experiments and judge it on held-out tasks, before and after adaptation.",
        epilog="Examples:  metaspec train sinusoid  |  "
        "metaspec train omniglot --data ~/omniglot --algorithm imaml --backend jax --steps 2000 --out runs/imaml",
    )(train)


def train(
    experiment: Annotated[str, typer.Argument(help="sinusoid or omniglot.", show_default=False)],
    algorithm: Annotated[str, typer.Option(help=f"One of {', '.join(ALGORITHMS)}.")] = "maml",
    backend: Annotated[str | None, typer.Option(help="Backend; numpy unless one is chosen otherwise.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the Omniglot archives.", metavar="DIR")] = None,
    subset: Annotated[str, typer.Option(help="Omniglot: the small or the full sets.")] = "small",
    steps: Annotated[int | None, typer.Option(help="Outer steps; 5000 for sinusoid, 500 for omniglot.", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result; a new one in runs/.", metavar="DIR")] = None,
    seed: Annotated[int, typer.Option(help="Of the tasks and of the initial parameters.", min=0)] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    ways: Annotated[int, typer.Option(help="Omniglot: classes in a task.", min=2)] = 5,
    shots: Annotated[int | None, typer.Option(help="Support examples (of each class); 10 or 1.", min=1)] = None,
    queries: Annotated[int | None, typer.Option(help="Query examples (of each class); 10 or 15.", min=1)] = None,
    filters: Annotated[int, typer.Option(help="Omniglot: filters of each block.", min=1)] = 32,
    tasks_per_step: Annotated[int | None, typer.Option(help="Meta-batch size; 25 or 4.", min=1)] = None,
    inner_lr: Annotated[float | None, typer.Option(help="Inner learning rate.")] = None,
    inner_steps: Annotated[int | None, typer.Option(help="Inner steps.")] = None,
    outer_lr: Annotated[float | None, typer.Option(help="Adam's rate.")] = None,
    regularization: Annotated[float | None, typer.Option(help="iMAML: proximal strength lambda.")] = None,
    cg_steps: Annotated[int | None, typer.Option(help="iMAML: conjugate-gradient steps.")] = None,
    test_tasks: Annotated[int, typer.Option(help="Held-out tasks to judge on.", min=2)] = 200,
) -> None:
    """Meta-train and judge."""
    console = Console()
    kind = _Kind.of(experiment)
    if algorithm not in ALGORITHMS:
        raise InvalidArgumentError(f"--algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    given: dict[str, Any] = {
        "inner_lr": inner_lr,
        "inner_steps": inner_steps,
        "outer_lr": outer_lr,
        "regularization": regularization,
        "cg_steps": cg_steps,
    }
    foreign: dict[str, Any] = {}
    if experiment == "sinusoid":
        foreign |= {"data": data, "subset": None if subset == "small" else subset}
    if algorithm != "imaml":
        foreign |= {"regularization": regularization, "cg-steps": cg_steps}
    for option, value in foreign.items():
        if value is not None:
            raise InvalidArgumentError(f"--{option}: has no meaning for {experiment} with {algorithm}; leave it out")
    settings = replace(SETTINGS[experiment][algorithm], **{k: v for k, v in given.items() if v is not None})
    algo, optimizer = settings.algorithm(algorithm), Adam(settings.outer_lr)
    sizes: dict[str, Any] = {"shots": shots or kind.shots, "queries": queries or kind.queries, "dtype": dtype}
    if experiment == "sinusoid":
        problem = sinusoid(seed, **sizes)
    else:
        if data is None:
            raise InvalidArgumentError(
                "--data: omniglot needs the folder that holds its archives (images_background_small1.zip and so on); "
                "metaspec.data.download_omniglot fetches them"
            )
        sizes |= {"ways": ways, "filters": filters, "subset": subset}
        problem = omniglot(data, seed, **sizes)
    B = get_backend(backend or chosen_backend() or "numpy")
    size, total = tasks_per_step or kind.tasks_per_step, kind.steps if steps is None else steps
    config = {
        "experiment": experiment,
        "algorithm": algorithm,
        "backend": B.name,
        "seed": seed,
        "steps": total,
        "tasks_per_step": size,
        **asdict(settings),
        **sizes,
    }
    run = RunFolder.create(out, f"{experiment}-{algorithm}-{B.name}", config | {"versions": dict(B.versions())})
    console.print(", ".join(f"{k} {v}" for k, v in config.items()), highlight=False, markup=False)

    def judged(params: Any) -> Report:
        return meta_test(
            algo, problem.network.loss, params, problem.test, tasks=test_tasks, metric=problem.metric, backend=B
        )

    params = problem.network.init(seed, dtype)
    reports = {"untrained": judged(params)}
    steps_left, interrupted = total, False
    stream = training_steps(
        algo, problem.network.loss, params, problem.train, optimizer, tasks_per_step=size, backend=B
    )
    try:
        with _progress(console, total) as show, run.metrics() as record_step:
            while steps_left:
                record, params, _ = next(stream)
                steps_left -= 1
                record_step(record)
                show(record)
    except KeyboardInterrupt:
        interrupted = True
        console.print(f"interrupted after {total - steps_left} of {total} steps; what was trained so far is saved")
    run.save_params(B, params)
    if not interrupted:
        reports["trained"] = judged(params)
        console.print(_table(problem, reports))
    run.save_report(reports, total - steps_left)
    console.print(f"saved in {run.folder}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(INTERRUPTED if interrupted else 0)


@dataclass(frozen=True)
class _Kind:
    """Defaults that depend on the experiment."""

    steps: int
    tasks_per_step: int
    shots: int
    queries: int

    @staticmethod
    def of(name: str) -> "_Kind":
        kinds = {"sinusoid": _Kind(5000, 25, 10, 10), "omniglot": _Kind(500, 4, 1, 15)}
        if name not in kinds:
            raise InvalidArgumentError(f"experiment: expected one of {', '.join(kinds)}, got {name!r}")
        return kinds[name]


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Any]:
    """A bar on a terminal, else ten lines in all: smoothed query loss, rate, time left."""
    smoothed, start = [float("nan")], time.perf_counter()

    def smooth(record: StepRecord) -> str:
        before = smoothed[0]
        now = record.query_loss if before != before else SMOOTHING * before + (1 - SMOOTHING) * record.query_loss
        smoothed[0] = now
        return f"query loss {now:.4f}"

    if console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
            task = bars.add_task("compiling", total=total)
            yield lambda record: bars.update(task, advance=1, description=smooth(record))
        return

    def line(record: StepRecord) -> None:
        text, done = smooth(record), record.step + 1
        if done % max(1, total // 10) == 0 or done == total:
            rate = done / (time.perf_counter() - start)
            left = (total - done) / rate
            console.print(f"step {done}/{total}  {text}  {rate:.1f} steps/s  {left:.0f} s left", highlight=False)

    yield line


def _table(problem: Experiment, reports: dict[str, Report]) -> Table:
    tasks = reports["untrained"].tasks
    table = Table(caption=f"query sets of {tasks} held-out tasks, mean and 95 % interval over tasks")
    for heading in ("", "", "before adaptation", "after adaptation"):
        table.add_column(heading)
    for name, r in reports.items():
        table.add_row(name, "query loss", str(r.loss_before), str(r.loss_after))
        if r.metric_before is not None:
            table.add_row(name, "accuracy %", str(r.metric_before.percent()), str(r.metric_after.percent()))  # type: ignore[union-attr]
    return table
