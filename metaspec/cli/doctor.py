"""`metaspec doctor`."""

import json
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import metaspec
from metaspec.backend.registry import list_backends
from metaspec.cli.output_files import check_writable
from metaspec.experiments.self_check import SelfCheck, self_check

EXTRA = re.compile(r"""^([\w.-]+)[^;]*;\s*extra\s*==\s*["']([\w-]+)["']""")
OPTIONAL = ("plots", "tensorboard", "wandb", "mlflow", "datasets", "digits", "verify", "bench")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "doctor",
        help="What is installed, on which devices it computes, and whether it does: each backend gives a small "
        "meta-gradient, called and compiled, in a process of its own. The exit status is 1 where one is wrong.",
        epilog="Example:  metaspec doctor --json doctor.json",
    )(doctor)


def doctor(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the same as JSON.", metavar="FILE")] = None,
) -> None:
    """What is installed, on which devices it computes, and whether it does."""
    check_writable({"--json": json_file})
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    about = f"metaspec {metaspec.__version__}, Python {platform.python_version()}, {platform.platform()}"
    say(f"{about}\n{Path(metaspec.__file__).parent}\n")
    found: dict[str, SelfCheck] = {}
    for status in list_backends():
        if not status.installed:
            say(f"{status.name}: not installed; {status.install}")
            continue
        versions = ", ".join(f"{name} {version}" for name, version in status.versions.items())
        found[status.name] = check = self_check(status.name)
        say(f"{status.name}: {versions}; devices: {', '.join(check.devices) or 'unknown'}")
        say(f"  {', '.join(status.dtypes)}; {_abilities({m: c.level for m, c in status.capabilities.items()})}")
        error = "" if check.error is None else f"MAML within {check.error:.0e} of the closed form, "
        say(f"  {f'FAILED: {check.problem}' if check.problem else f'works: {error}{check.seconds:.1f} s'}")
    optional = _optional()
    say("\n" + "\n".join(f"{name}: {version or 'not installed'}" for name, version in optional.items()))
    failed = [name for name, check in found.items() if check.problem]
    say("\n" + (f"{len(failed)} failed: {', '.join(failed)}" if failed else f"all well: {', '.join(found)}"))
    if json_file is not None:
        checks = {name: vars(check) for name, check in found.items()}
        json_file.write_text(json.dumps({"about": about, "backends": checks, "optional": optional}, indent=2) + "\n")
    raise typer.Exit(1 if failed else 0)


def _abilities(levels: Mapping[str, str]) -> str:
    """Return the members of the protocol by who provides them."""
    kinds = {level: [m for m, own in levels.items() if own == level] for level in ("native", "unsupported")}
    return "; ".join(f"{level}: {', '.join(members)}" for level, members in kinds.items() if members)


def _optional() -> dict[str, str | None]:
    """Return the libraries of the extras that are no backends, with the version that is there."""
    found: dict[str, str | None] = {}
    for requirement in metadata.requires("metaspec") or []:
        parts = EXTRA.match(requirement)
        if parts is not None and parts[2] in OPTIONAL and parts[1] != "metaspec":
            found[f"{parts[1]} [{parts[2]}]"] = _version(parts[1])
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
