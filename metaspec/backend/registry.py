"""The registry of backends.

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
from metaspec.errors import BackendConflictError, BackendNotInstalledError, UnknownBackendError, nearest

GROUP = "metaspec.backends"


@dataclass(frozen=True)
class Registration:
    """Description of an adapter, which can be read without importing its framework.

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

    Example:
        >>> import metaspec as ms
        >>> registration = ms.Registration(
        ...     name="mine",
        ...     adapter="metaspec_mine.adapter:MyBackend",
        ...     requires=("myframework",),
        ...     arrays=("myframework",),
        ...     install="pip install metaspec-mine",
        ... )
        >>> registration.installed
        False
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
        """Return whether every required module can be found (none is imported)."""
        return all(find_spec(module) is not None for module in self.requires)

    @property
    def all_capabilities(self) -> dict[str, Capability]:
        """Return the declared capabilities, with `derived` for every member that the adapter says nothing about."""
        return {member: self.capabilities.get(member, Capability("derived")) for member in MEMBERS}


@dataclass(frozen=True)
class BackendStatus:
    """Status of one backend, as `list_backends` returns it.

    Example:
        >>> import metaspec as ms
        >>> status = next(status for status in ms.list_backends() if status.name == "numpy")
        >>> status.installed, list(status.versions)
        (True, ['numpy'])
    """

    name: str
    installed: bool
    versions: Mapping[str, str]
    dtypes: tuple[str, ...]
    capabilities: Mapping[str, Capability]
    install: str


@cache
def registered_names() -> frozenset[str]:
    """Return the names of the entry points; none is loaded."""
    return frozenset(entry.name for entry in metadata.entry_points(group=GROUP))


@cache
def registrations() -> Mapping[str, Registration]:
    """Return every registered adapter by name; a name that two adapters claim is an error."""
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
    return dict(sorted({**_added, **found}.items()))


def register(registration: Registration) -> None:
    """Add an adapter that has no entry point to this process's table.

    Raises:
        BackendConflictError: Its name is taken.
    """
    if registration.name in registrations():
        raise BackendConflictError(f"backend name {registration.name!r} is taken; give the registration another name")
    _added[registration.name] = registration
    registrations.cache_clear()
    _owners.clear()


_added: dict[str, Registration] = {}


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
    """Status of every registered backend: whether it is installed, in which version, and what it can do.

    No framework is imported.

    Example:
        >>> import metaspec as ms
        >>> [status.name for status in ms.list_backends()]
        ['jax', 'numpy', 'tensorflow', 'torch']
    """
    return tuple(
        BackendStatus(r.name, r.installed, _versions(r), r.dtypes, r.all_capabilities, r.install)
        for r in registrations().values()
    )


def registration_of(name: str) -> Registration:
    """Return the registration of that name.

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


def installed_registration(name: str) -> Registration:
    """Return the registration of that name, whose framework is installed.

    Raises:
        UnknownBackendError: No adapter has that name.
        BackendNotInstalledError: Its framework is not installed; the message says how to install it.
    """
    registration = registration_of(name)
    if not registration.installed:
        missing = [module for module in registration.requires if find_spec(module) is None]
        usable = [other.name for other in registrations().values() if other.installed]
        raise BackendNotInstalledError(
            f"backend {name!r} needs {', '.join(missing)}, which is not installed; run: {registration.install} "
            f"(installed backends: {', '.join(usable) or 'none'})"
        )
    return registration


_owners: dict[tuple[type, bool], str | None] = {}


def owner_of(x: Any, containers: bool = False) -> str | None:
    """Return the name of the backend whose array (or container too) x is, or None."""
    key = (type(x), containers)
    if key not in _owners:
        _owners[key] = _owner_of(*key)
    return _owners[key]


def under(prefix: str, kind: type) -> bool:
    """Return whether the class, or one that it derives from, was defined in the module of that name or beneath it."""
    modules = [base.__module__ for base in kind.__mro__]
    return any(module == prefix or module.startswith(f"{prefix}.") for module in modules)


def _owner_of(kind: type, containers: bool) -> str | None:
    for registration in registrations().values():
        for prefix in registration.arrays + (registration.containers if containers else ()):
            if under(prefix, kind):
                return registration.name
    return None
