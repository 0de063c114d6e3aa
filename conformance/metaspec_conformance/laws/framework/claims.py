"""What a law says of a backend: claims, each of which holds or does not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tree = Any


@dataclass(frozen=True)
class Equal:
    """left = right up to rounding, leaf by leaf, as the error model has it. `left` must have the format asked for."""

    what: str
    left: Tree
    right: Tree


@dataclass(frozen=True)
class Within:
    """||left - right|| <= bound, up to rounding, over all leaves as one vector: a limit with its remainder.

    The bound that counts is the one found in extended precision, so that a fault cannot widen it.
    """

    what: str
    left: Tree
    right: Tree
    bound: float


@dataclass(frozen=True)
class Same:
    """left and right are the same to the last bit, shapes and formats too."""

    what: str
    left: Tree
    right: Tree


@dataclass(frozen=True)
class Holds:
    """Anything that is true or false; `found` says what was found instead."""

    what: str
    truth: bool
    found: str = ""


Claim = Equal | Within | Same | Holds


def raises(
    what: str, kinds: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any], *words: str
) -> Holds:
    """Return the claim that a call raises an error of a kind, or of one of several, with these words in its message."""
    wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    try:
        returned = call()
    except kinds as error:
        missing = [word for word in words if word not in str(error)]
        return Holds(what, not missing, f"{', '.join(missing)} not in the message: {error}" if missing else "")
    except Exception as error:
        return Holds(what, False, f"{type(error).__name__} for {wanted}: {error}")
    return Holds(what, False, f"no {wanted}: it returned {type(returned).__name__}")
