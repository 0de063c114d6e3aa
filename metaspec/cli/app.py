"""Gathers the commands and turns errors into one line and an exit status.

A command is added by a module in this package that has `register(app: typer.Typer) -> None`; nothing here changes.
"""

import os
import pkgutil
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

import metaspec
from metaspec import cli
from metaspec.errors import MetaspecError

USAGE = 2  # exit status for what the user can mend: names, options, what is not installed
INTERRUPTED = 130


def build() -> typer.Typer:
    """The application with every command of this package."""
    app = typer.Typer(
        name="metaspec",
        help="An executable specification of gradient-based meta-learning.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @app.callback()
    def common(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    for module in sorted(module.name for module in pkgutil.iter_modules(cli.__path__)):
        register = getattr(import_module(f"{cli.__name__}.{module}"), "register", None)
        if register is not None:
            register(app)
    return app


def run() -> None:
    """Run the command of `sys.argv`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that has no "±" must not lose a result
    try:
        build()()
    except (MetaspecError, OSError) as error:  # OSError: a file or folder that the user named
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(USAGE) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave()
    except SystemExit as ending:
        if ending.code != INTERRUPTED:
            raise
        _leave()


def _leave() -> NoReturn:
    """End at once: a compiler interrupted at work can crash in the interpreter's orderly end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(metaspec.__version__)
        raise typer.Exit
