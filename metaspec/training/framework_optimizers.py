"""The frameworks' own optimisers as outer optimisers. Each framework's adapter knows its own; none is imported here."""

from importlib import import_module
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import registrations, under
from metaspec.checks.arguments import check_members
from metaspec.errors import BackendMismatchError
from metaspec.training.outer_optimizers import Optimizer


def optimizer_for(B: Backend, given: Any) -> Optimizer:
    """Return `given` as an outer optimiser on `B`: a framework's own is wrapped by that framework's adapter.

    Raises:
        BackendMismatchError: It belongs to another framework.
        InvalidTypeError: It is no optimiser.
    """
    for registration in registrations().values():
        for prefix, adapter in registration.optimizers.items():
            if under(prefix, _made(given)):
                if registration.name != B.name:
                    raise BackendMismatchError(
                        f"optimizer: {_made(given).__name__} works on arrays of {registration.name!r}, the backend is "
                        f"{B.name!r}; use metaspec.training.Adam or SGD, or backend={registration.name!r}"
                    )
                module, _, attribute = adapter.partition(":")
                wrapped: Optimizer = getattr(import_module(module), attribute)(given)
                return wrapped
    check_members(given, "optimizer", ("rate", "init", "update", "traceable"), "metaspec.training.Adam(lr=1e-3)")
    optimizer: Optimizer = given
    return optimizer


def _made(given: Any) -> type:
    """Return the class that `given` is, makes (functools.partial), or is an instance of."""
    made = getattr(given, "func", given)
    return made if isinstance(made, type) else type(made)
