"""State that a loss could alter: arrays that it can reach, generators of random numbers, process-wide settings."""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import owner_of

OBJECTS = 20_000  # a loss that can reach more than this is looked at in part
BYTES = 1 << 24  # of a larger array only the version counter is compared
RANDOM = "random state"


def reachable_arrays(B: Backend, loss: Callable[..., Any]) -> dict[str, bytes]:
    """Return a digest of every array that a function's closure, globals, defaults and objects lead to, by its path."""
    return {path: _digest(B, x) for path, x in _arrays(B, loss)}


def array_digests(B: Backend, tree: Any, name: str) -> dict[str, bytes]:
    """Return a digest of every array of a tree, by its path."""
    leaves, paths = B.tree_flatten(tree)[0], B.tree_paths(tree)
    return {
        name + path.removeprefix("root"): _digest(B, leaf)
        for path, leaf in zip(paths, leaves, strict=True)
        if owner_of(leaf) is not None
    }


def generators(B: Backend) -> dict[str, Any]:
    """Return the states of the process-wide random number generators, by name."""
    _, keys, position, *gauss = np.random.get_state()  # noqa: NPY002
    states = {"Python's random": random.getstate(), "NumPy's np.random": (np.asarray(keys).tobytes(), position, gauss)}
    return states | {f"{B.name}'s": state for name, state in B.guard.settings().items() if name == RANDOM}


def settings(B: Backend) -> Mapping[str, Any]:
    """Return the backend's process-wide settings, by name."""
    return {name: value for name, value in B.guard.settings().items() if name != RANDOM}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of what has another value now."""
    return [name for name, value in before.items() if name in after and after[name] != value]


def _arrays(B: Backend, loss: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    seen = set[int]()
    stack: list[tuple[str, Any]] = [("", loss)]
    while stack and len(seen) < OBJECTS:
        path, x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if owner_of(x) is not None and hasattr(x, "dtype"):
            yield path, x
        else:
            stack += _parts(path, x)


def _parts(path: str, x: Any) -> list[tuple[str, Any]]:
    """What an object leads to. Only its dictionary is read: a property could do anything."""
    if isinstance(x, str | bytes | int | float | complex | type | ModuleType | BuiltinFunctionType | CodeType):
        return []
    if isinstance(x, FunctionType):
        return [*_bound(x), *((path, value) for value in (*(x.__defaults__ or ()), *vars(x).values()))]
    if isinstance(x, MethodType):
        return [(path or "self", x.__self__), (path, x.__func__)]
    if isinstance(x, partial):
        return [(path, x.func), *((path, value) for value in (*x.args, *x.keywords.values()))]
    if isinstance(x, dict):
        return [(f"{path}[{key!r:.40}]", value) for key, value in list(x.items())]
    if isinstance(x, list | tuple | set | frozenset):
        return [(f"{path}[{i}]", value) for i, value in enumerate(list(x))]
    held = getattr(x, "__dict__", None)
    return [(f"{path}.{key}", value) for key, value in list(held.items())] if isinstance(held, dict) else []


def _bound(f: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    codes = [f.__code__]
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for name in code.co_names:
            if name in f.__globals__:
                yield name, f.__globals__[name]


def _digest(B: Backend, x: Any) -> bytes:
    try:
        if getattr(x, "nbytes", 0) > BYTES:
            return repr((x.shape, B.guard.version_counter([x]))).encode()
        array = B.to_numpy(x) if B.is_array(x) else np.asarray(x)
        return blake2b(np.ascontiguousarray(array).tobytes() + str(array.shape).encode()).digest()
    except Exception:  # a tracer that was left behind, an array of another framework: its identity says enough
        return repr((type(x).__name__, id(x))).encode()
