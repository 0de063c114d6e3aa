"""The choice of the backend for a call; the adapter is loaded on first use.

In this order: the `backend=` argument; the active `backend_context`; `set_backend`; the environment variable
METASPEC_BACKEND as it was at import; the one whose arrays the parameters are.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any

import optree

from metaspec.backend.protocol import NAMESPACE, Backend
from metaspec.backend.registry import installed_registration, owner_of, registrations
from metaspec.errors import BackendMismatchError, BackendNotChosenError, InvalidTypeError
from metaspec.task import Tree

VARIABLE = "METASPEC_BACKEND"

_chosen: str | Backend | None = os.environ.get(VARIABLE) or None
active: ContextVar[str | Backend | None] = ContextVar("metaspec_backend", default=None)
"""What `backend_context` chose; `compile` sets it by itself, in a third of the time."""


@cache
def _load(name: str) -> Backend:
    registration = installed_registration(name)
    module, _, attribute = registration.adapter.partition(":")
    backend: Backend = getattr(import_module(module), attribute)()
    return backend


def get_backend(backend: str | Backend | None = None) -> Backend:
    """Return the backend of that name; without a name, the one chosen by context, `set_backend` or environment.

    Args:
        backend: A name, or an instance, which is returned as it is.

    Raises:
        UnknownBackendError: No adapter has that name.
        BackendNotInstalledError: Its framework is missing; the message says what to install.
        BackendNotChosenError: No name was given and none is chosen.

    Example:
        >>> import metaspec as ms
        >>> ms.get_backend("numpy").name
        'numpy'
    """
    wanted = backend if backend is not None else chosen_backend()
    if wanted is None:
        raise BackendNotChosenError(f"no backend is chosen; {_how_to_choose()}")
    return _load(wanted) if isinstance(wanted, str) else _instance(wanted)


def _instance(backend: Any) -> Backend:
    if not isinstance(backend, Backend):
        raise InvalidTypeError(
            f"backend: expected a backend's name or a metaspec.Backend, got {type(backend).__name__}; "
            f"known names: {', '.join(registrations())}"
        )
    return backend


def chosen_backend() -> str | Backend | None:
    """Return the choice of `backend_context`, `set_backend` or METASPEC_BACKEND, in this order, or None."""
    choice = active.get()
    return _chosen if choice is None else choice


def set_backend(backend: str | Backend | None) -> None:
    """Choose the backend of this process; None takes the choice back.

    Args:
        backend: A name, an instance, or None.

    Raises:
        UnknownBackendError, BackendNotInstalledError: As `get_backend`; the earlier choice stays.

    Example:
        >>> import metaspec as ms
        >>> ms.set_backend("numpy")
        >>> ms.get_backend().name
        'numpy'
        >>> ms.set_backend(None)
    """
    global _chosen
    if backend is not None:
        get_backend(backend)
    _chosen = backend


@contextmanager
def backend_context(backend: str | Backend) -> Iterator[Backend]:
    """Choose a backend within a `with` block, for this thread or asyncio task alone.

    Args:
        backend: A name or an instance.

    Yields:
        The backend.

    Raises:
        UnknownBackendError, BackendNotInstalledError: As `get_backend`.

    Example:
        >>> import metaspec as ms
        >>> with ms.backend_context("numpy") as backend:
        ...     print(ms.get_backend().name, backend.name)
        numpy numpy
    """
    instance = get_backend(backend)
    token = active.set(backend)
    try:
        yield instance
    finally:
        active.reset(token)


def plain_leaves(tree: Tree) -> list[Any]:
    """Return the leaves as seen before a backend is known: a framework's own containers stay whole."""
    leaves: list[Any] = optree.tree_leaves(tree, namespace=NAMESPACE)
    return leaves


def resolve(backend: str | Backend | None, tree: Tree, what: str = "params") -> Backend:
    """Return the backend for a tree: the argument, else what was chosen, else the one whose arrays its leaves are.

    Raises:
        BackendMismatchError: The leaves are of several frameworks, or of another than the chosen one.
        BackendNotChosenError: Nothing was chosen and the leaves are no framework's arrays.
    """
    leaves = plain_leaves(tree)
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
    if "generator" in kinds:
        raise InvalidTypeError(f"{what}: a generator is no tree of arrays; write dict(model.named_parameters())")
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
