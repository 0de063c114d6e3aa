"""What an adapter can do beyond the required members, declared before it is loaded and checked by conformance."""

from dataclasses import dataclass
from typing import Literal

MEMBERS = ("grad", "jvp", "hvp", "linearize_grad", "linear_solve", "vmap", "scan", "checkpoint", "compile")
"""The derived and optional members of the protocol."""


@dataclass(frozen=True)
class Capability:
    """How a backend provides a member.

    `native`: the framework's own, overridden in the adapter because it is better (measured). `derived`: written once in
    the base class. `unsupported`: raises; `reason` says why.
    """

    level: Literal["native", "derived", "unsupported"]
    reason: str = ""

    def __post_init__(self) -> None:
        if self.level == "unsupported" and not self.reason:
            raise ValueError("an unsupported capability needs a reason")


NATIVE = Capability("native")
