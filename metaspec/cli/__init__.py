"""The command line. `metaspec.cli.main` is the entry point; each command is a module here with a `register(app)`."""


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    from metaspec.cli.app import run

    run()
