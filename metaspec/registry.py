"""Which backends there are, and which one a call uses.

Adapters are found by name through entry points of the group `metaspec.backends`; each entry point is a `Registration`,
a few strings that say what the adapter needs and whose arrays it owns. Nothing is imported until a backend is used.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from metaspec.capabilities import MEMBERS, Capability
from metaspec.errors import (
    BackendConflictError,
    BackendMismatchError,
    BackendNotChosenError,
    BackendNotInstalledError,
    InvalidTypeError,
    UnknownBackendError,
)

if TYPE_CHECKING:
    from metaspec.protocol import Backend

GROUP = "metaspec.backends"
VARIABLE = "METASPEC_BACKEND"


@dataclass(frozen=True)
class Registration:
    """What an adapter says of itself before it is loaded.

    Attributes:
        name: The backend's name, equal to its entry point's.
        adapter: "module:Class" of the Backend, imported on first use.
        requires: Top-level modules that must be importable, e.g. ("torch",).
        arrays: Module prefixes of the array types that this backend owns, e.g. ("jax", "jaxlib").
        containers: Module prefixes of tree nodes that only this framework knows, e.g. ("equinox", "flax").
        install: The command that makes it usable.
        dtypes: The floating formats that it computes in, narrowest first.
        capabilities: What the adapter says of derived and optional members; what it leaves out is derived.
    """

    name: str
    adapter: str
    requires: tuple[str, ...]
    arrays: tuple[str, ...]
    install: str
    containers: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    capabilities: Mapping[str, Capability] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether every required module can be found (none is imported)."""
        return all(find_spec(module) is not None for module in self.requires)

    @property
    def all_capabilities(self) -> dict[str, Capability]:
        """The declared capabilities, with `derived` for every member that the adapter says nothing about."""
        return {member: self.capabilities.get(member, Capability("derived")) for member in MEMBERS}


@dataclass(frozen=True)
class BackendStatus:
    """A line of `list_backends()`."""

    name: str
    installed: bool
    versions: Mapping[str, str]
    dtypes: tuple[str, ...]
    capabilities: Mapping[str, Capability]
    install: str


_chosen: "str | Backend | None" = os.environ.get(VARIABLE) or None
_active: ContextVar["str | Backend | None"] = ContextVar("metaspec_backend", default=None)


@cache
def registered_names() -> frozenset[str]:
    """The names of the entry points; none is loaded."""
    return frozenset(entry.name for entry in metadata.entry_points(group=GROUP))


@cache
def registrations() -> Mapping[str, Registration]:
    """Every registered adapter by name; a name that two adapters claim is an error."""
    found: dict[str, Registration] = {}
    origins: dict[str, str] = {}
    for entry in metadata.entry_points(group=GROUP):
        if origins.get(entry.name, entry.value) != entry.value:
            raise BackendConflictError(
                f"backend name {entry.name!r} is claimed by {origins[entry.name]!r} and by {entry.value!r}; "
                "uninstall one of the two packages or rename its entry point"
            )
        origins[entry.name] = entry.value
        registration = entry.load()
        if not isinstance(registration, Registration) or registration.name != entry.name:
            raise BackendConflictError(
                f"entry point {entry.name!r} of group {GROUP!r} must be a metaspec.Registration of that name, "
                f"got {registration!r}; mend the package that provides {entry.value!r}"
            )
        found[entry.name] = registration
    return dict(sorted(found.items()))


def _versions(registration: Registration) -> dict[str, str]:
    owners = _distributions() if registration.installed else {}
    return {
        name: metadata.version(name)
        for module in registration.requires
        for name in sorted(set(owners.get(module, [])))[:1]
    }


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def list_backends() -> tuple[BackendStatus, ...]:
    """What exists, what is installed in which version, what each can do. Imports no framework."""
    return tuple(
        BackendStatus(r.name, r.installed, _versions(r), r.dtypes, r.all_capabilities, r.install)
        for r in registrations().values()
    )


def registration_of(name: str) -> Registration:
    """The registration of that name.

    Raises:
        UnknownBackendError: No adapter has that name.
    """
    known = registrations()
    if name not in known:
        raise UnknownBackendError(
            f"backend {name!r} is not registered; known backends: {', '.join(known) or 'none'}. "
            f"An adapter of your own registers as an entry point of the group {GROUP!r}"
        )
    return known[name]


@cache
def _load(name: str) -> "Backend":
    registration = registration_of(name)
    if not registration.installed:
        missing = [module for module in registration.requires if find_spec(module) is None]
        usable = [r.name for r in registrations().values() if r.installed]
        raise BackendNotInstalledError(
            f"backend {name!r} needs {', '.join(missing)}, which is not installed; run: {registration.install} "
            f"(installed backends: {', '.join(usable) or 'none'})"
        )
    module, _, attribute = registration.adapter.partition(":")
    backend: Backend = getattr(import_module(module), attribute)()
    return backend


def get_backend(backend: "str | Backend | None" = None) -> "Backend":
    """The backend of that name, or, without a name, the one that is chosen (context, `set_backend`, environment).

    Raises:
        UnknownBackendError: No adapter has that name.
        BackendNotInstalledError: Its framework is missing; the message says what to install.
        BackendNotChosenError: No name was given and none is chosen.
    """
    wanted = backend if backend is not None else chosen_backend()
    if wanted is None:
        raise BackendNotChosenError(f"no backend is chosen; {_how_to_choose()}")
    return _load(wanted) if isinstance(wanted, str) else _instance(wanted)


def _instance(backend: Any) -> "Backend":
    from metaspec.protocol import Backend

    if not isinstance(backend, Backend):
        raise InvalidTypeError(
            f"backend: expected a backend's name or a metaspec.Backend, got {type(backend).__name__}; "
            f"known names: {', '.join(registrations())}"
        )
    return backend


def chosen_backend() -> "str | Backend | None":
    """What `backend_context`, `set_backend` or METASPEC_BACKEND chose, in this order; None where nothing did."""
    active = _active.get()
    return _chosen if active is None else active


def set_backend(backend: "str | Backend | None") -> None:
    """Choose the backend of this process; None takes the choice back.

    Raises:
        UnknownBackendError, BackendNotInstalledError: As `get_backend`; the earlier choice stays.
    """
    global _chosen
    if backend is not None:
        get_backend(backend)
    _chosen = backend


@contextmanager
def backend_context(backend: "str | Backend") -> Iterator["Backend"]:
    """Choose a backend within a `with` block, for this thread or asyncio task alone."""
    instance = get_backend(backend)
    token = _active.set(backend)
    try:
        yield instance
    finally:
        _active.reset(token)


_owners: dict[tuple[type, bool], str | None] = {}


def owner_of(x: Any, containers: bool = False) -> str | None:
    """The name of the backend whose array (or container too) x is; None for what is no framework's."""
    key = (type(x), containers)
    if key not in _owners:
        _owners[key] = _owner_of(*key)
    return _owners[key]


def _owner_of(kind: type, containers: bool) -> str | None:
    modules = [base.__module__ for base in kind.__mro__]
    for registration in registrations().values():
        for prefix in registration.arrays + (registration.containers if containers else ()):
            if any(module == prefix or module.startswith(f"{prefix}.") for module in modules):
                return registration.name
    return None


def resolve(backend: "str | Backend | None", leaves: list[Any], what: str = "params") -> "Backend":
    """The backend for these leaves: the argument, else what was chosen, else the one whose arrays they are.

    Raises:
        BackendMismatchError: The leaves are of several frameworks, or of another than the chosen one.
        BackendNotChosenError: Nothing was chosen and the leaves are no framework's arrays.
    """
    owners = sorted({owner for leaf in leaves if (owner := owner_of(leaf, containers=True)) is not None})
    if len(owners) > 1:
        raise BackendMismatchError(
            f"{what}: arrays of several frameworks in one tree ({', '.join(owners)}); "
            "convert them to one with metaspec.asarray(tree, backend=...)"
        )
    wanted = backend if backend is not None else chosen_backend()
    if wanted is not None:
        return get_backend(wanted)
    if owners:
        return get_backend(owners[0])
    kinds = sorted({type(leaf).__name__ for leaf in leaves})
    raise BackendNotChosenError(
        f"{what}: no leaf is an array of a known framework (leaf types: {', '.join(kinds) or 'none'}) and no backend "
        f"is chosen; {_how_to_choose()}"
    )


def _how_to_choose() -> str:
    usable = [r.name for r in registrations().values() if r.installed]
    return (
        f"installed backends: {', '.join(usable) or 'none'}. Pass backend=..., use metaspec.backend_context(...) or "
        f"metaspec.set_backend(...), or set the environment variable {VARIABLE}"
    )
