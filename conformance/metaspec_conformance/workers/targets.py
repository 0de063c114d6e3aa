"""Targets of a run: names from the registry, or module:attribute."""

from collections.abc import Sequence

from metaspec.backend.registry import registration_of, registrations
from metaspec.errors import BackendNotInstalledError, InvalidArgumentError


def resolved(names: Sequence[str]) -> list[str]:
    """Return the targets that names stand for; every installed backend where none is named.

    Raises:
        UnknownBackendError: No adapter has that name.
        BackendNotInstalledError: Its framework is missing; the message says what to install.
        InvalidArgumentError: A name twice, or module:attribute without one of the two.
    """
    if not names:
        return [name for name, registration in registrations().items() if registration.installed]
    for name in names:
        if list(names).count(name) > 1:
            raise InvalidArgumentError(f"backends: {name!r} is given twice")
        module, colon, attribute = name.partition(":")
        if colon and not (module and attribute):
            raise InvalidArgumentError(f"backends: expected a name or module:attribute, got {name!r}")
        if not colon and not registration_of(name).installed:
            known = registration_of(name)
            raise BackendNotInstalledError(
                f"backend {name!r} needs {', '.join(known.requires)}, which is not installed; run: {known.install}"
            )
    return list(names)
