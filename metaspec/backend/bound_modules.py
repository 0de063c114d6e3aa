"""`import metaspec.torch as ms`: the public names, bound to one backend at import time.

The module is made by name for every registered adapter, a third party's too.
"""

import inspect
import sys
from collections.abc import Sequence
from functools import partial, update_wrapper
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from metaspec.backend.registry import registered_names
from metaspec.backend.selection import get_backend

PACKAGE = "metaspec"


class BoundModuleFinder(MetaPathFinder, Loader):
    """Finds `metaspec.NAME` where NAME is a registered backend and no module of metaspec has that name."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return the specification of the bound module, or None."""
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in registered_names() else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with the public names, bound to its backend."""
        name = module.__name__.rpartition(".")[2]
        backend = get_backend(name)
        package = sys.modules[PACKAGE]
        exported: list[str] = list(package.__all__)
        for public in exported:
            setattr(module, public, _bound(getattr(package, public), name))
        vars(module).update(backend=backend, xp=backend.xp, __all__=[*exported, "backend", "xp"])
        module.__doc__ = f"metaspec, with every function bound to the backend {name!r}."


class FormerNameFinder(MetaPathFinder, Loader):
    """Finds `metaspec.conformance`, the name until 0.1, and what is in it: as metaspec_conformance itself."""

    former, present = "metaspec.conformance", "metaspec_conformance"

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return the specification, or None for another name."""
        inside = fullname == self.former or fullname.startswith(f"{self.former}.")
        return ModuleSpec(fullname, self) if inside else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module under its present name, which keeps its own specification."""
        module = import_module(self.present + spec.name.removeprefix(self.former))
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system has written to the module."""
        module.__spec__ = self._own


def _bound(member: Any, backend: str) -> Any:
    """Bind the option `backend` of a function; where it is the first argument it stays free."""
    if not inspect.isfunction(member):
        return member
    option = inspect.signature(member).parameters.get("backend")
    if option is not None and option.kind is inspect.Parameter.KEYWORD_ONLY:
        return update_wrapper(partial(member, backend=backend), member)
    return member


def install() -> None:
    """Let the import system find bound modules and former names."""
    if not any(isinstance(finder, BoundModuleFinder) for finder in sys.meta_path):
        sys.meta_path.append(BoundModuleFinder())
        sys.meta_path.insert(0, FormerNameFinder())  # before the search of the package's own folder
