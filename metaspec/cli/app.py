"""Gathers the commands and turns errors into one line and an exit status.

A command is added by a module in one of `PACKAGES` that has its name and `register(app: typer.Typer) -> None`; nothing
here changes.
"""

import os
import pkgutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import metaspec
from metaspec.cli.output_files import INTERRUPTED
from metaspec.errors import MetaspecError

USAGE = 2  # exit status for what the user can mend: names, options, what is not installed
PACKAGES = ("metaspec.cli", "metaspec_conformance.commands", "metaspec_benchmarks.commands")


class _Commands(TyperGroup):
    """Says of a value that an option refuses what was given, which Typer's message leaves out."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            problems: Any = getattr(error.__cause__, "errors", list)()
            error.message += f", got {problems[0]['input']!r}" if problems else ""
            raise


def build(command: str = "") -> typer.Typer:
    """Return the application with this command alone, or with all of `PACKAGES` where none has the name."""
    app = typer.Typer(
        name="metaspec",
        cls=_Commands,
        help="An executable specification of gradient-based meta-learning.",
        no_args_is_help=True,
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

    found = [m for p in PACKAGES for m in pkgutil.iter_modules(import_module(p).__path__, f"{p}.")]
    modules = {m.name.rpartition(".")[2]: m.name for m in found}
    own = modules.get(command.replace("-", "_"), "")
    for module in [own] if own else [modules[name] for name in sorted(modules)]:
        register = getattr(import_module(module), "register", None)
        if register is not None:
            register(app)
    return app


def run() -> None:
    """Run the command of `sys.argv`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that has no "±" must not lose a result
    with _endings() as received:
        try:
            build(next(iter(sys.argv[1:]), ""))()
        except (MetaspecError, OSError) as error:  # OSError: a file or folder that the user named
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(USAGE) from None
        except MemoryError as error:
            print(f"error: there is not enough memory for these settings: {error}", file=sys.stderr)
            raise SystemExit(USAGE) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            _leave(received)
        except SystemExit as ending:
            if ending.code != INTERRUPTED:
                raise
            if isinstance(getattr(ending.__context__, "__cause__", None), KeyboardInterrupt):
                print("interrupted", file=sys.stderr)  # Typer ends silently where a command has not done so itself
            _leave(received)


@contextmanager
def _endings() -> Iterator[list[int]]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, so that what was trained is kept and workers end; yield received signals.

    One that is ignored, as `nohup` has it, stays so.
    """
    received: list[int] = []

    def end(number: int, frame: Any) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave(received: Sequence[int]) -> NoReturn:
    """End at once: a compiler interrupted at work can crash in the interpreter's orderly end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + received[0] if received else INTERRUPTED)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(metaspec.__version__)
        raise typer.Exit
