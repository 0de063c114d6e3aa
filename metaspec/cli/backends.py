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
        for member, capability in status.capabilities.items():
            if capability.level == "unsupported":
                _say(console, f"{status.name} has no {member}: {capability.reason}")
        if not status.installed:
            _say(console, f"{status.name}: {status.install}")
    if json_file is not None:
        json_file.write_text(json.dumps([_plain(status) for status in statuses], indent=2) + "\n")


def _table(statuses: tuple[BackendStatus, ...]) -> Table:
    table = Table(caption="What is not listed as native is derived from the required members, written once.")
    for heading in ("backend", "installed", "dtypes", "native"):
        table.add_column(heading)
    for status in statuses:
        versions = ", ".join(f"{name} {version}" for name, version in status.versions.items())
        table.add_row(status.name, versions if status.installed else "no", ", ".join(status.dtypes), _native(status))
    return table


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


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
