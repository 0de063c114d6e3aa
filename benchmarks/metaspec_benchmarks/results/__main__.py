"""`python -m metaspec_benchmarks.results sinusoid | omniglot | backends | steps`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from metaspec_benchmarks.results import (
    across_backends,
    omniglot_accuracy,
    results_document,
    sinusoid_curves,
    step_overhead,
)
from metaspec_benchmarks.results.sinusoid_curves import NAMES
from metaspec_benchmarks.results.store import Store

Out = Annotated[Path, typer.Option(help="The folder docs/ to write to: results.md and results/*.json.")]
DOCS = Path("docs")
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
    minutes: Annotated[float, typer.Option(help="Of training, for each run.")] = 30.0,
    work: Annotated[Path, typer.Option(help="Where unfinished runs are kept.")] = Path("runs/results"),
    backend: Annotated[list[str] | None, typer.Option(help="May be given again.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Such as '5-way 1-shot'; may be given again.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help="May be given again.")] = None,
    test_tasks: Annotated[int, typer.Option(help="Held-out tasks.", min=2)] = 600,
) -> None:
    """Three kinds of task, four algorithms, two backends; what is there is not run again."""
    omniglot_accuracy.run(
        Store(out / "results" / "omniglot.json"),
        told(out),
        data.absolute(),
        work,
        minutes=minutes,
        backends=backend or omniglot_accuracy.BACKENDS,
        tasks=task or tuple(omniglot_accuracy.TASKS),
        algorithms=algorithm or tuple(NAMES),
        test_tasks=test_tasks,
    )
    results_document.write(out / "results", out / "results.md")


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
