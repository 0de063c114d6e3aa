"""What one call of the audited function gave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Leaves = tuple[Any, ...]
"""NumPy arrays in the order of the objective's leaves."""


@dataclass(frozen=True)
class Failure:
    """Why a call gave nothing that can be held against anything; `code` is one of the findings'."""

    code: str
    text: str


@dataclass(frozen=True)
class Observed:
    """What a call gave, leaf by leaf in the order of the objective.

    Attributes:
        failure: Why there is no result.
        result: The result as it was returned, or left in `.grad` or in the attribute of an estimator.
        moved: The parameters after the call, of a model that moved, or as the result where parameters were returned.
        reading: "meta_gradient", "params", or "auto" where it may be either.
        changed: The inputs that were changed.
        buffers: The buffers that were changed.
        settings: Process-wide settings that were changed.
        drew: Whether a global random generator was drawn from.
        dtypes: The formats of the result's leaves.
        missing: Leaves for which None came back.
        seconds: What the call took.
        learned: The gradients of learned inputs by name, flat, where they were returned beside the result.
    """

    failure: Failure | None = None
    result: Leaves | None = None
    moved: Leaves | None = None
    reading: str = "auto"
    changed: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    drew: bool = False
    dtypes: tuple[str, ...] = ()
    missing: tuple[int, ...] = ()
    seconds: float = 0.0
    learned: Mapping[str, Any] = field(default_factory=dict)
