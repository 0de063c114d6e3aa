"""How a command ends: files that it is to write, looked at before the work, and an interrupted one's exit status."""

from pathlib import Path

from metaspec.errors import InvalidArgumentError

INTERRUPTED = 130  # exit status of a command that was ended before its end, and kept what it had


def check_writable(files: dict[str, Path | None]) -> None:
    """Open each option's file as if to write it; leave what is there as it is, and no new file.

    Args:
        files: By option; None where the option is not given.

    Raises:
        InvalidArgumentError: A folder, or a file that cannot be written or made.
    """
    for option, file in files.items():
        if file is not None:
            _check(option, file)


def _check(option: str, file: Path) -> None:
    target = file.resolve()  # so that a link to a file that is not there yet is judged by that file
    try:
        if target.is_dir():
            raise InvalidArgumentError(f"{option}: {file} is a folder, expected a file to write")
        if not target.parent.is_dir():
            raise InvalidArgumentError(f"{option}: there is no folder {target.parent}")
        if target.is_file():
            target.open("ab").close()
        elif not target.exists():  # what exists and is neither, a pipe or a terminal, is not opened twice
            target.open("xb").close()
            target.unlink()
    except OSError as error:
        raise InvalidArgumentError(f"{option}: {file} cannot be written: {error.strerror or error}") from None
