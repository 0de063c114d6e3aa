"""Declarations of what an adapter can do beyond the required members; conformance checks them."""

from dataclasses import dataclass
from typing import Literal

MEMBERS = (
    *("grad", "jvp", "hvp", "linearize_grad", "linear_solve"),
    *("vmap", "scan", "checkpoint", "compile", "all_reduce"),
)
"""The derived and optional members of the protocol."""


@dataclass(frozen=True)
class Capability:
    """How a backend provides a derived or optional member of the protocol.

    Attributes:
        level: "native", the framework's own, overridden in the adapter because it is better (measured); "derived",
            written once in the base class; "unsupported", a call raises UnsupportedError.
        reason: Why it is unsupported.

    Raises:
        ValueError: "unsupported" without a reason.

    Example:
        >>> import metaspec as ms
        >>> ms.get_backend("numpy").capabilities["jvp"].level
        'native'
        >>> ms.Capability("unsupported", "the framework has no loops").reason
        'the framework has no loops'
    """

    level: Literal["native", "derived", "unsupported"]
    reason: str = ""

    def __post_init__(self) -> None:
        if self.level == "unsupported" and not self.reason:
            raise ValueError("an unsupported capability needs a reason")


NATIVE = Capability("native")
