"""Plain data that a worker of checks returns."""

from dataclasses import dataclass
from typing import Any

from metaspec_conformance.laws.framework.claims import Claim


@dataclass(frozen=True)
class Hello:
    """A backend as its worker process found it.

    Attributes:
        versions: Of the framework and what it stands on.
        dtypes: Formats that it computes in.
        error: Why it could not be loaded; empty where it was.
        unwritten: Required members that the adapter has only a placeholder for.
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
