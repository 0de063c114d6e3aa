"""What a worker says: plain data, in a module of its own because `worker` runs as `__main__`."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hello:
    """A worker's first message: what it is, or why it cannot be."""

    versions: dict[str, str]
    dtypes: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True)
class Result:
    """What a worker returns for one scenario: trees of NumPy arrays, or what went wrong."""

    trees: dict[str, Any]
    seconds: float
    error: str = ""
