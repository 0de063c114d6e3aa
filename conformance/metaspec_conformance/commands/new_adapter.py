"""`metaspec new-adapter`."""

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import metaspec
from metaspec.backend.registry import registered_names
from metaspec.errors import BackendConflictError, InvalidArgumentError
from metaspec_conformance.pytest_plugin.skeleton import Skeleton


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "new-adapter",
        help="Write the package of a new adapter: it installs, runs the conformance suite, says what to write next.",
        epilog="Example:  metaspec new-adapter mine --framework myframework  &&  cd metaspec-mine  &&  "
        "pip install -e '.[test]'  &&  pytest -x",
    )(new_adapter)


def new_adapter(
    name: Annotated[str, typer.Argument(help="What the backend is to be called: a lower-case identifier.")],
    framework: Annotated[
        str | None, typer.Option(help="The framework's top-level module; open unless given.", metavar="MODULE")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write the project's folder into.", metavar="DIR")] = Path(),
) -> None:
    """Write the package of a new adapter."""
    skeleton = Skeleton(_name(name), _module(framework or ""), _distribution(framework or ""), metaspec.__version__)
    if not out.is_dir():
        raise InvalidArgumentError(f"--out: there is no folder {out}")
    folder = out / skeleton.folder
    if folder.exists():
        raise InvalidArgumentError(f"new-adapter: {folder} is there already; choose another name, or remove it")
    for path, content in skeleton.files().items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    typer.echo(
        f"{folder}: nine members to write, in the order in which they stand in src/{skeleton.package}/adapter.py"
    )
    typer.echo(f"next: cd {folder} && pip install -e '.[test]' && pytest -x")


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise InvalidArgumentError(
            f"new-adapter: expected a name of lower-case letters, digits and single underscores, got {name!r}"
        )
    if name in registered_names():
        raise BackendConflictError(f"new-adapter: a backend {name!r} is registered already; choose another name")
    if find_spec(f"metaspec.{name}") is not None:
        raise InvalidArgumentError(f"new-adapter: metaspec.{name} is a module of metaspec's own; choose another name")
    return name


def _module(framework: str) -> str:
    if framework and not framework.isidentifier():
        raise InvalidArgumentError(f"--framework: expected the name of a top-level module, got {framework!r}")
    return framework


def _distribution(framework: str) -> str:
    """What pip calls the framework: the installed distribution that has the module, else the module's own name.

    Of several the one that is named like the module: the others bring its parts.
    """
    owners = metadata.packages_distributions().get(framework, [])
    named = [owner for owner in owners if owner.lower().replace("-", "_") == framework.lower()]
    return next(iter([*named, *owners]), framework) if framework else ""
