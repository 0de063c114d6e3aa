"""`python -m metaspec_benchmarks.results sinusoid | omniglot | runs | small | time | backends | steps`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from metaspec_benchmarks.results import (
    across_backends,
    omniglot_accuracy,
    results_document,
    sinusoid_curves,
    small_data,
    step_overhead,
    time_to_accuracy,
    trained_runs,
)
from metaspec_benchmarks.results.results_document import RUN_ROWS
from metaspec_benchmarks.results.store import Store
from metaspec_benchmarks.results.trained_runs import NAMES

Out = Annotated[Path, typer.Option(help="The folder docs/ to write to: results.md and results/*.json.")]
Work = Annotated[Path, typer.Option(help="Where unfinished runs are kept.")]
DOCS, RUNS = Path("docs"), Path("runs/results")
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def told(out: Path) -> Callable[[str], None]:
    """Called with each result, when it is in its file: says it, and writes the document."""

    def tell(text: str) -> None:
        typer.echo(text)
        results_document.write(out / "results", out / "results.md")

    return tell


@app.command(name="sinusoid")
def run_sinusoid(
    out: Out = DOCS,
    seeds: Annotated[int, typer.Option(help="How many.", min=1)] = 5,
    steps: Annotated[int | None, typer.Option(help="Outer steps, the preset's unless given.", min=1)] = None,
) -> None:
    """Four algorithms, query loss after 0, 1 and 10 inner steps."""
    sinusoid_curves.run(Store(out / "results" / "sinusoid.json"), told(out), range(seeds), steps)
    results_document.write(out / "results", out / "results.md")


@app.command(name="omniglot")
def run_omniglot(
    data: Annotated[Path, typer.Option(help="The folder with Omniglot's archives.")],
    out: Out = DOCS,
    subset: Annotated[str, typer.Option(help="full, lake or small.")] = "full",
    paper: Annotated[str | None, typer.Option(help="The settings of this paper, as `metaspec train` has it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Outer steps, the preset's unless given.", min=1)] = None,
    backend: Annotated[list[str] | None, typer.Option(help="May be given again; jax.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Such as '5-way 1-shot'; may be given again.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help="May be given again.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="May be given again; 0.", min=0)] = None,
    test_tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 1000,
    work: Work = RUNS,
) -> None:
    """Runs of `metaspec train omniglot`; one that was stopped goes on, what is there is not run again."""
    said: dict[str, Any] = {"subset": subset, "data": str(data.absolute()), "paper": paper, "steps": steps}
    given = {name: value for name, value in said.items() if value is not None}
    omniglot_accuracy.run(
        Store(out / "results" / RUN_ROWS),
        told(out),
        work,
        given,
        backends=backend or ("jax",),
        tasks=task or tuple(omniglot_accuracy.TASKS),
        algorithms=algorithm or tuple(NAMES),
        seeds=seed or (0,),
        test_tasks=test_tasks,
    )
    omniglot_accuracy.draw(out / "results" / RUN_ROWS, out / "results")


@app.command(name="runs")
def add_runs(
    folders: Annotated[list[Path], typer.Argument(help="Of runs of `metaspec train`.", show_default=False)],
    out: Out = DOCS,
    test_tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 1000,
    curve_tasks: Annotated[int, typer.Option(help="Held-out tasks at each checkpoint.", min=2)] = 200,
) -> None:
    """Judge runs of `metaspec train` that are there already, finished or not, and add their rows."""
    for folder in folders:
        trained_runs.add(Store(out / "results" / RUN_ROWS), told(out), folder, test_tasks, curve_tasks)
    omniglot_accuracy.draw(out / "results" / RUN_ROWS, out / "results")


@app.command(name="small")
def run_small(
    out: Out = DOCS,
    algorithm: Annotated[list[str] | None, typer.Option(help="May be given again; maml.")] = None,
    seed: Annotated[int, typer.Option(help="Of tasks and parameters.", min=0)] = 0,
    test_tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 1000,
    work: Work = RUNS,
) -> None:
    """Digits, MNIST-1D and a table, by the presets."""
    store = Store(out / "results" / RUN_ROWS)
    small_data.run(store, told(out), work, algorithm or ("maml",), seed, test_tasks)


@app.command(name="time")
def run_times(
    data: Annotated[Path, typer.Option(help="The folder with Omniglot's archives.")], out: Out = DOCS
) -> None:
    """What an outer step takes, of the algorithms that have a run."""
    runs = Store(out / "results" / RUN_ROWS)
    time_to_accuracy.run(Store(out / "results" / "times.json"), told(out), runs, str(data.absolute()))


@app.command(name="backends")
def run_backends(out: Out = DOCS, steps: Annotated[int, typer.Option(help="Outer steps.", min=1)] = 1000) -> None:
    """One training on every backend, in both formats."""
    file = out / "results" / "backends.json"
    across_backends.run(Store(file), told(out), steps)
    across_backends.draw(file, file.parent)
    results_document.write(out / "results", out / "results.md")


@app.command(name="steps")
def run_steps(
    out: Out = DOCS,
    length: Annotated[int, typer.Option(help="Steps over which memory is watched.", min=2)] = 10_000,
    data: Annotated[Path | None, typer.Option(help="The folder with Omniglot's archives; left out without.")] = None,
) -> None:
    """What a training step costs beside its computation, and whether memory grows."""
    step_overhead.run(Store(out / "results" / "steps.json"), told(out), length, data and data.absolute())
    results_document.write(out / "results", out / "results.md")


@app.command(name="document")
def run_document(out: Out = DOCS) -> None:
    """Write the document anew, computing nothing."""
    results_document.write(out / "results", out / "results.md")


app()
