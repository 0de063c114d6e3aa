"""The audited function: where it is found, which arguments it names, which framework it is written in."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from metaspec.backend.registry import registrations
from metaspec.errors import InvalidArgumentError, InvalidTypeError, nearest
from metaspec_conformance.audit.calls.learners import LearnerCode, is_learner


@dataclass
class AuditedFunction:
    """The function, found anew where it comes from a file.

    Attributes:
        place: "module:function", "path/file.py:function", or the callable itself; a script, "path/file.py", with
            `step_function`.
        network: Of a learner, the attribute that holds its network.
        step_function: Of a learner or a script, what is called.
    """

    place: Any
    network: str = ""
    step_function: str = ""
    _own: set[str] = field(default_factory=set)

    def load(self) -> Any:
        """The function, or the `LearnerCode` of what keeps its own network.

        Raises:
            InvalidArgumentError: The place is not written as it should be, or there is no such module or function.
        """
        found = self._found()
        if self.network or self.step_function or is_learner(found):
            return LearnerCode(found, self.network, self.step_function)
        return found

    def _found(self) -> Any:
        if not isinstance(self.place, str):
            if not callable(self.place):
                raise InvalidTypeError(f"audit: expected a function or 'module:function', got {self.place!r}")
            return self.place
        found: Any = self._module()
        for name in self.place.rpartition(":")[2].split(".") if not self._is_script else ():
            if not hasattr(found, name):
                raise InvalidArgumentError(
                    f"audit: {self.place!r}: there is no {name!r} in {self.place.rpartition(':')[0]}"
                    f"{nearest(name, vars(found))}"
                )
            found = getattr(found, name)
        return found

    @property
    def _is_script(self) -> bool:
        return isinstance(self.place, str) and self.place.endswith(".py") and bool(self.step_function)

    def reload(self) -> Callable[..., Any] | None:
        """The function with its module's state as it was at the start; None where that cannot be had."""
        loaded = {name: sys.modules[name] for name in self._own if name in sys.modules}
        try:
            return self._anew()
        except Exception:  # what the module does can be done once only
            sys.modules.update(loaded)
            return None

    def _anew(self) -> Callable[..., Any] | None:
        if isinstance(self.place, str):
            for name in self._own:
                sys.modules.pop(name, None)
            return self.load()
        module = sys.modules.get(getattr(self.place, "__module__", ""))
        qualified, path = getattr(self.place, "__qualname__", "<"), getattr(module, "__file__", None)
        if module is None or path is None or "<" in qualified:
            return None
        spec = importlib.util.spec_from_file_location(f"{module.__name__}_anew", path)
        if spec is None or spec.loader is None:
            return None
        anew = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(anew)
        found: Any = anew
        for name in qualified.split("."):
            found = getattr(found, name, None)
        return found

    def _name(self) -> str:
        place = str(self.place) if self._is_script else str(self.place).rpartition(":")[0]
        return f"audited_{hashlib.sha1(place.encode()).hexdigest()[:12]}" if place.endswith(".py") else place

    def _module(self) -> ModuleType:
        place, colon, attribute = str(self.place).rpartition(":") if not self._is_script else (self.place, ":", " ")
        if not (colon and place and attribute):
            raise InvalidArgumentError(f"audit: expected module:function or path/file.py:function, got {self.place!r}")
        name, before = self._name(), set(sys.modules)
        if name in sys.modules:
            return sys.modules[name]
        try:
            return self._imported(name, place)
        finally:
            new = {other for other in set(sys.modules) - before if _users(other)}
            standard = str(Path(inspect.getfile(inspect)).parent)
            self._own |= {n for n in new if not str(sys.modules[n].__file__).startswith(standard)}

    def _imported(self, name: str, place: str) -> ModuleType:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        if not Path(place).is_file():
            raise InvalidArgumentError(f"audit: there is no file {place}")
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(Path(place).parent.absolute()))
        try:
            if self._is_script:
                exec(_without_loops(Path(place)), vars(module))
            else:
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.pop(0)
        return module


def _without_loops(path: Path) -> CodeType:
    """Return a script's code without what trains: loops, and expressions, at its top level."""
    tree = ast.parse(path.read_text(), str(path))
    tree.body = [node for node in tree.body if not isinstance(node, ast.For | ast.While | ast.With | ast.Expr)]
    return compile(tree, str(path), "exec")


def _users(name: str) -> bool:
    """Whether a module is a user's own: it comes from a file that is not installed."""
    path = getattr(sys.modules.get(name), "__file__", None)
    return bool(path) and "site-packages" not in str(path) and name.partition(".")[0] not in ("metaspec", "__main__")


def framework_of(f: Callable[..., Any]) -> str:
    """The one framework among the globals of the function's module, and of the modules that these come from.

    Raises:
        InvalidArgumentError: There are several.
    """
    for depth in (0, 1):
        found = {name for name in _frameworks(f, depth) if name != "numpy"}
        if len(found) > 1:
            raise InvalidArgumentError(
                f"framework: the function's module imports {', '.join(sorted(found))}; say which one with framework="
            )
        if found:
            return found.pop()
    return "numpy"


def _frameworks(f: Callable[..., Any], depth: int) -> set[str]:
    f = f.made_by if isinstance(f, LearnerCode) else f
    module: Any = f if isinstance(f, ModuleType) else sys.modules.get(getattr(f, "__module__", None) or "")
    scope: Mapping[str, Any] = getattr(f, "__globals__", None) or vars(module or object)
    modules = [value for value in scope.values() if isinstance(value, ModuleType)]
    if depth:
        origins = {getattr(value, "__module__", None) for value in scope.values()}
        modules = [v for n in origins if isinstance(n, str) and n in sys.modules for v in vars(sys.modules[n]).values()]
        modules = [value for value in modules if isinstance(value, ModuleType)]
    roots = {value.__name__.partition(".")[0] for value in modules}
    found = set()
    for r in registrations().values():
        prefixes = {*r.requires, *r.arrays, *r.containers, *r.optimizers}
        if roots & {prefix.partition(".")[0] for prefix in prefixes}:
            found.add(r.name)
    return found
