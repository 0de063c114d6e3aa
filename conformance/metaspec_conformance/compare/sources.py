"""Finding a user's function, parameters and data: named in one process, loaded in another."""

import importlib
import pickle
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from metaspec.backend.registry import owner_of
from metaspec.backend.selection import get_backend
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Task
from metaspec_conformance.compare.comparison_messages import Source
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.workers.user_errors import describe_user_error


def located(given: Any, what: str) -> Source:
    """Where a worker finds what was given: a string as it is, a function by its module, else by pickling.

    Raises:
        InvalidArgumentError: A string without a colon; a function that another process cannot import.
    """
    if isinstance(given, str):
        module, colon, attribute = given.rpartition(":")
        if not (colon and module and attribute):
            raise InvalidArgumentError(f"{what}: expected module:attribute or file.py:attribute, got {given!r}")
        return Source(given)
    name = getattr(given, "__qualname__", None)
    if name is not None and isinstance(getattr(given, "__module__", None), str):
        module = given.__module__
        if "<" not in name and module != "__main__":
            return Source(f"{module}:{name}")
        file = getattr(sys.modules.get("__main__"), "__file__", None)
        if "<" not in name and file:
            return Source(f"{file}:{name}")
        raise InvalidArgumentError(
            f"{what}: each backend computes in a process of its own, which cannot import {name!r} of {module!r}; "
            "define it at the top level of a module or of a file, or give its place, e.g. 'mymodule:loss'"
        )
    try:
        return Source(f"{type(given).__module__}:{type(given).__qualname__}", pickle.dumps(_portable(given)))
    except Exception as error:
        raise InvalidArgumentError(
            f"{what}: {type(given).__name__} cannot be sent to another process ({error}); give its place instead, e.g. "
            "'mymodule:attribute'"
        ) from None


def load(source: Source) -> Any:
    """What a source names.

    Raises:
        InvalidArgumentError: It is not there, or its module does not import; with the line that is at fault.
    """
    if source.pickled is not None:
        return pickle.loads(source.pickled)
    module, _, attribute = source.place.rpartition(":")
    found: Any = imported(module)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise InvalidArgumentError(f"{source.place}: {module} has no {attribute!r}; it has {_public(found)}")
        found = getattr(found, name)
    return found


def imported(place: str) -> ModuleType:
    """A module by its name, or by its file.

    Raises:
        InvalidArgumentError: It cannot be found or imported.
    """
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        file = Path(place).resolve()
        if not file.is_file():
            raise InvalidArgumentError(f"{place}: there is no such file")
        sys.path.insert(0, str(file.parent))
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
        return module
    except InvalidArgumentError:
        raise
    except Exception as error:
        raise InvalidArgumentError(f"{place} could not be imported: {describe_user_error(error)}") from None


def default(loss: Source, name: str) -> Any:
    """The attribute of that name of the loss's module; None where there is none."""
    return None if loss.pickled is not None else getattr(imported(loss.module), name, None)


def value(x: Any, what: str) -> Any:
    """X itself, or what it returns where it is a function without arguments."""
    if not callable(x) or isinstance(x, Mapping | list | tuple) or hasattr(x, "shape") or _is_container(x):
        return x
    try:
        return x()
    except Exception as error:
        raise InvalidArgumentError(
            f"{what}: the function without arguments that gives it raised {describe_user_error(error)}"
        ) from None


def as_numpy(x: Any, what: str) -> Any:
    """A number or an array of any framework as a NumPy array."""
    if isinstance(x, bool | int | float):
        return np.asarray(x)
    owner = owner_of(x)
    if owner is None:
        raise InvalidTypeError(f"{what}: expected numbers and arrays as leaves, got {type(x).__name__}")
    return np.array(get_backend(owner).to_numpy(x))


def as_task(x: Any, convert: Callable[[Any], Any]) -> Task:
    """A Task or a pair (support, query) with its leaves converted.

    Raises:
        InvalidTypeError: It is neither.
    """
    if not isinstance(x, tuple | list) or len(x) != 2:
        raise InvalidTypeError(f"task: expected metaspec.Task(support, query) or a pair, got {type(x).__name__}")
    return Task(convert(x[0]), convert(x[1]))


def _public(x: Any) -> str:
    return ", ".join(sorted(name for name in vars(x) if not name.startswith("_"))[:20]) or "nothing public"


def _is_container(x: Any) -> bool:
    return owner_of(x, containers=True) is not None and not isinstance(x, type)


def _portable(x: Any) -> Any:
    """A tree with its arrays as NumPy's, so that the process that unpickles it needs no other framework."""
    if isinstance(x, dict | list | tuple) or owner_of(x) is not None:
        return tree_map(lambda leaf: as_numpy(leaf, "tree") if owner_of(leaf) is not None else leaf, x)
    return x
