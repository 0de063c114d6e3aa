"""The frameworks' own optimisers as outer optimisers. Each framework's adapter knows its own; none is imported here."""

from importlib import import_module
from typing import Any

from metaspec.checks import check_members
from metaspec.errors import BackendMismatchError
from metaspec.protocol import Backend
from metaspec.registry import registrations
from metaspec.training.optimizers import Optimizer


def optimizer_for(B: Backend, given: Any) -> Optimizer:
    """`given` as an outer optimiser on `B`: a framework's own is wrapped by that framework's adapter.

    Raises:
        BackendMismatchError: It belongs to another framework.
        InvalidTypeError: It is no optimiser.
    """
    for registration in registrations().values():
        for prefix, adapter in registration.optimizers.items():
            if any(module == prefix or module.startswith(f"{prefix}.") for module in _modules(given)):
                if registration.name != B.name:
                    raise BackendMismatchError(
                        f"optimizer: {_name(given)} works on arrays of {registration.name!r}, the backend is "
                        f"{B.name!r}; use metaspec.training.Adam or SGD, or backend={registration.name!r}"
                    )
                module, _, attribute = adapter.partition(":")
                wrapped: Optimizer = getattr(import_module(module), attribute)(given)
                return wrapped
    check_members(given, "optimizer", ("rate", "init", "update", "traceable"), "metaspec.training.Adam(lr=1e-3)")
    optimizer: Optimizer = given
    return optimizer


def _modules(given: Any) -> list[str]:
    """Where `given`, or the class that it is or makes (functools.partial), and the classes above it were defined."""
    made = getattr(given, "func", given)
    kind = made if isinstance(made, type) else type(made)
    return [base.__module__ for base in kind.__mro__]


def _name(given: Any) -> str:
    made = getattr(given, "func", given)
    return made.__name__ if isinstance(made, type) else type(made).__name__
