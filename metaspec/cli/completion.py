"""What the shell completes a value to."""

from collections.abc import Callable, Iterable


def among(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return the completion of one of these values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete
