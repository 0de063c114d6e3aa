"""The errors that metaspec raises of its own accord.

Each also derives from the built-in exception that a caller would expect, so `except ValueError` works. A message names
the argument, what was given, what was expected, and what to do next.
"""

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn


class MetaspecError(Exception):
    """Base class of all errors that metaspec raises of its own accord.

    Example:
        >>> import metaspec as ms
        >>> try:
        ...     ms.GradientDescent(lr=-0.1, steps=5)
        ... except ms.MetaspecError as error:
        ...     print(error)
        GradientDescent: lr must be a finite number >= 0, got -0.1
    """


class InvalidArgumentError(MetaspecError, ValueError):
    """An argument's value, structure or shape is outside of what the specification allows."""


class InvalidTypeError(MetaspecError, TypeError):
    """An argument has the wrong type: not an array, an integer where a float is needed, and the like."""


class UnknownBackendError(MetaspecError, LookupError):
    """No adapter is registered under the given name."""


class BackendNotInstalledError(MetaspecError, ImportError):
    """The adapter is known, the framework that it adapts is not installed."""


class LibraryMissingError(MetaspecError, ImportError):
    """An optional library is not installed; the message says how to install it."""


class BackendConflictError(MetaspecError, RuntimeError):
    """Two adapters claim one name."""


class BackendNotChosenError(MetaspecError, LookupError):
    """No rule of precedence says which backend to use."""


class BackendMismatchError(MetaspecError, TypeError):
    """The arrays belong to another framework than the chosen backend, or to several frameworks."""


class DtypeNotHonouredError(MetaspecError, TypeError):
    """The backend would silently compute in another dtype than the one asked for."""


class LossError(MetaspecError, TypeError):
    """The loss broke its contract: a pure function (params, batch) -> floating scalar of the backend."""


class LossCheckError(LossError):
    """A look at the loss, before a training, found what would silently make its result wrong.

    Attributes:
        check: The LossCheck.
    """

    def __init__(self, message: str, check: object) -> None:
        super().__init__(message)
        self.check = check


class RankError(MetaspecError, RuntimeError):
    """A process of several has failed, ended, hangs or disagrees; the message names its rank and how to go on."""


class MutationError(MetaspecError, RuntimeError):
    """The loss changed its parameters in place."""


class NonFiniteError(MetaspecError, ArithmeticError):
    """NaN or infinity arose in the inner loop or in the meta-gradient; the message says where."""


class UnsupportedError(MetaspecError, RuntimeError):
    """The backend declares that it does not have this capability, and why."""


def nearest(value: Any, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" where a known name is like this one, else nothing."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(str(value).lower(), names, n=1, cutoff=0.6)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""


def tell_nearest(module: str) -> None:
    """Have the error of an attribute that the module lacks tell the nearest of the module's public names."""
    found: Any = sys.modules[module]

    def missing(name: str) -> NoReturn:
        raise AttributeError(f"module {module!r} has no attribute {name!r}{nearest(name, found.__all__)}")

    found.__getattr__ = missing
