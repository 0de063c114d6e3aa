"""`metaspec audit`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from metaspec.errors import InvalidArgumentError
from metaspec_conformance.audit import audit as audited


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "audit",
        help="Say what a piece of code really computes: which algorithm, with which deviations, to which digit. The "
        "function is called with the arguments that it names: params or model, tasks, loss, lr, steps ... The "
        "exit status is 0 if it is what is claimed (without a claim: if it was identified and nothing is wrong), "
        "else 1; 2 for a wrong name or option. The function runs in a process of its own, limited in time and memory; "
        "with all that it starts it is gone when the audit ends. Files and the network are not contained: it has your "
        "rights, so audit code that you do not trust in a container.",
        epilog="Examples:  metaspec audit my_package.my_module:meta_gradient --claim maml  |  "
        "metaspec audit train.py:step --claim maml --lr 0.01 --steps 5 --json audit.json  |  "
        "metaspec audit train.py:step --problem train.py:problem",
    )(audit)


def audit(
    function: Annotated[str, typer.Argument(help="module:function, or path/file.py:function.")],
    claim: Annotated[
        str | None, typer.Option(help="What it is meant to be: maml, fomaml, reptile, imaml, anil, boil, meta-sgd ...")
    ] = None,
    style: Annotated[str, typer.Option(help="function, module, keras or estimator.")] = "auto",
    framework: Annotated[
        str | None, typer.Option(help="Whose arrays it takes.", show_default="the one that its module imports")
    ] = None,
    result: Annotated[str, typer.Option(help="What it gives: meta_gradient, or params, the updated ones.")] = "auto",
    problem: Annotated[
        str | None,
        typer.Option(
            help="regression, classification, or module:attribute of a Problem of your own.",
            show_default="regression; classification where that explains nothing and the function has its own loss",
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Its inner rate, where it names no lr.", show_default="found")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Its inner steps, likewise.", show_default="found")] = None,
    regularization: Annotated[
        float | None, typer.Option(help="iMAML's lambda, likewise.", show_default="found")
    ] = None,
    cg_steps: Annotated[int | None, typer.Option(help="iMAML's solver's steps.", show_default="found")] = None,
    outer_lr: Annotated[float | None, typer.Option(help="Its outer rate, likewise.", show_default="found")] = None,
    network: Annotated[
        str | None, typer.Option(help="Of code with its own network: the attribute that holds it, net, say.")
    ] = None,
    step_function: Annotated[
        str | None, typer.Option(help="Its method, or a script's function, that is a meta-training step.")
    ] = None,
    reduction: Annotated[str, typer.Option(help="What is meant over tasks: mean or sum.")] = "mean",
    dtype: Annotated[str, typer.Option(help="The format of what goes in: float64 or float32.")] = "float64",
    timeout: Annotated[float, typer.Option(help="Seconds for one call.", min=0.1)] = 60.0,
    memory: Annotated[float, typer.Option(help="GiB that its process may hold; 0 for no limit.", min=0.0)] = 16.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.", metavar="FILE")] = None,
) -> None:
    """Audit a function."""
    if ":" not in function and step_function is None:
        raise InvalidArgumentError(f"FUNCTION: expected module:function or path/file.py:function, got {function!r}")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InvalidArgumentError(f"--json: there is no folder {json_file.absolute().parent}")
    over: Literal["mean", "sum"] = "sum" if reduction == "sum" else "mean"
    if reduction not in ("mean", "sum"):
        raise InvalidArgumentError(f"--reduction: expected mean or sum, got {reduction!r}")
    with Console(stderr=True).status("audit: importing the code") as status:
        report = audited(
            function,
            network=network,
            step_function=step_function,
            progress=lambda calls: status.update(f"audit: call {calls}, then the search; about 20 s in all"),
            claim=claim,
            style=style,
            framework=framework,
            result=result,
            problem=problem,
            lr=lr,
            steps=steps,
            regularization=regularization,
            cg_steps=cg_steps,
            outer_lr=outer_lr,
            reduction=over,
            dtype=dtype,
            timeout=timeout,
            memory=memory,
        )
    colour = {"✓": "green", "✗": "red"}.get(report.mark, "yellow")
    console = Console()
    console.print(Text(report.mark, style=f"bold {colour}"), end=" ")
    console.print(str(report), markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    raise typer.Exit(0 if report.passed else 1)
