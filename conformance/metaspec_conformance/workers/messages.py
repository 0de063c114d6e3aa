"""What a worker says: plain data, in a module of its own because `worker` runs as `__main__`."""

from dataclasses import dataclass
from typing import Any

from metaspec_conformance.laws.framework.claims import Claim


@dataclass(frozen=True)
class Hello:
    """A worker's first message: what it is, or why it cannot be.

    `unwritten`: the required members that the adapter has only a placeholder for.
    """

    versions: dict[str, str]
    dtypes: tuple[str, ...]
    error: str = ""
    unwritten: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a worker returns for one check: trees of NumPy arrays, a law's claims, or what went wrong."""

    trees: dict[str, Any]
    seconds: float
    error: str = ""
    claims: tuple[Claim, ...] = ()
