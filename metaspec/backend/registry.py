"""Which backends there are.

Adapters are found by name through entry points of the group `metaspec.backends`; each entry point is a `Registration`,
a few strings that say what the adapter needs and whose arrays it owns. Nothing is imported until a backend is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from metaspec.backend.capabilities import MEMBERS, Capability
from metaspec.checks.arguments import nearest
from metaspec.errors import BackendConflictError, UnknownBackendError

GROUP = "metaspec.backends"


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
        optimizers: Module prefixes of the framework's own optimisers, each with the "module:function" that makes a
            `metaspec.training.Optimizer` of one.
        models: Module prefixes of the framework's classes of models, each with the "module:function" that `from_model`
            hands one to.
        auditing: "module:Class" of what audits ask of the framework's models; empty where they are trees of arrays.
        shared_compilations: Environment variables under which processes of the framework share what they compile;
            `{folder}` in a value stands for the folder, which is empty at first.
    """

    name: str
    adapter: str
    requires: tuple[str, ...]
    arrays: tuple[str, ...]
    install: str
    containers: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    optimizers: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    auditing: str = ""
    shared_compilations: Mapping[str, str] = field(default_factory=dict)

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
            f"backend {name!r} is not registered; known backends: {', '.join(known) or 'none'}{nearest(name, known)}. "
            f"An adapter of your own registers as an entry point of the group {GROUP!r}"
        )
    return known[name]


_owners: dict[tuple[type, bool], str | None] = {}


def owner_of(x: Any, containers: bool = False) -> str | None:
    """The name of the backend whose array (or container too) x is; None for what is no framework's."""
    key = (type(x), containers)
    if key not in _owners:
        _owners[key] = _owner_of(*key)
    return _owners[key]


def under(prefix: str, kind: type) -> bool:
    """Whether the class, or one that it derives from, was defined in the module of that name or beneath it."""
    modules = [base.__module__ for base in kind.__mro__]
    return any(module == prefix or module.startswith(f"{prefix}.") for module in modules)


def _owner_of(kind: type, containers: bool) -> str | None:
    for registration in registrations().values():
        for prefix in registration.arrays + (registration.containers if containers else ()):
            if under(prefix, kind):
                return registration.name
    return None
