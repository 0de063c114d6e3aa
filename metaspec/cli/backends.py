"""`metaspec backends`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from metaspec.backend.registry import BackendStatus, list_backends
from metaspec.errors import InvalidArgumentError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "backends",
        help="Which backends exist, which are installed, and what each can do. Imports no framework.",
        epilog="Example:  metaspec backends --json backends.json",
    )(backends)


def backends(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the same as JSON.", metavar="FILE")] = None,
) -> None:
    """Which backends exist, which are installed, and what each can do."""
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InvalidArgumentError(f"--json: there is no folder {json_file.absolute().parent}")
    statuses = list_backends()
    console = Console()
    console.print(_table(statuses))
    for status in statuses:
        if not status.installed:
            console.print(f"{status.name}: {status.install}", markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps([_plain(status) for status in statuses], indent=2) + "\n")


def _table(statuses: tuple[BackendStatus, ...]) -> Table:
    table = Table(caption="What is not listed as native is derived from the required members, written once.")
    for heading in ("backend", "installed", "versions", "dtypes", "native", "unsupported"):
        table.add_column(heading, overflow="fold")
    for status in statuses:
        versions = ", ".join(f"{name} {version}" for name, version in status.versions.items())
        unsupported = "; ".join(f"{m}: {c.reason}" for m, c in status.capabilities.items() if c.level == "unsupported")
        installed = "yes" if status.installed else "no"
        table.add_row(status.name, installed, versions, ", ".join(status.dtypes), _native(status), unsupported)
    return table


def _native(status: BackendStatus) -> str:
    return ", ".join(member for member, c in status.capabilities.items() if c.level == "native")


def _plain(status: BackendStatus) -> dict[str, object]:
    return {
        "name": status.name,
        "installed": status.installed,
        "versions": dict(status.versions),
        "dtypes": list(status.dtypes),
        "capabilities": {m: {"level": c.level, "reason": c.reason} for m, c in status.capabilities.items()},
        "install": status.install,
    }
