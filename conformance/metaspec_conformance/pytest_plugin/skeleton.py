"""The files of a new adapter's package: everything stands but the nine members, which say what to write."""

from dataclasses import dataclass
from string import Template


@dataclass(frozen=True)
class Skeleton:
    """What the files are made for.

    Attributes:
        name: The backend's name, a lower-case identifier.
        framework: Top-level module of the framework; "" where it is still open.
        distribution: What pip calls the framework; "" likewise.
        metaspec: The version of metaspec that the package asks for at least.
    """

    name: str
    framework: str
    distribution: str
    metaspec: str

    @property
    def package(self) -> str:
        """The import name."""
        return f"metaspec_{self.name}"

    @property
    def folder(self) -> str:
        """The project's folder, and its name for pip."""
        return f"metaspec-{self.name.replace('_', '-')}"

    @property
    def adapter(self) -> str:
        """The class's name."""
        return "".join(part.capitalize() for part in self.name.split("_")) + "Backend"

    def files(self) -> dict[str, str]:
        """Contents by path in the project's folder."""
        known = {
            "name": self.name,
            "package": self.package,
            "project": self.folder,
            "adapter": self.adapter,
            "test": self.adapter.removesuffix("Backend"),
            "what": self.framework or self.name,
            "framework": self.framework or "the framework",
            "arrays": self.framework or self.package,
            "requires": f'("{self.framework}",)' if self.framework else "()",
            "dependencies": f'"{self.distribution}", ' if self.distribution else "",
            "metaspec": self.metaspec,
            "untyped": UNTYPED.substitute(framework=self.framework) if self.framework else "",
        }
        return {Template(path).substitute(known): text.substitute(known) for path, text in TEMPLATES.items()}


UNTYPED = Template("""
[[tool.mypy.overrides]]
module = ["$framework", "$framework.*"]
ignore_missing_imports = true
""")

PYPROJECT = Template("""\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$project"
version = "0.1.0"
description = "$what as a backend of metaspec."
readme = "README.md"
requires-python = ">=3.11"
dependencies = [$dependencies"metaspec>=$metaspec"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points."metaspec.backends"]
$name = "$package:registration"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
$package = ["py.typed"]

[tool.pytest.ini_options]
testpaths = ["tests"]

[tool.ruff]
line-length = 120
$untyped""")

REGISTRATION = Template('''\
"""$what as a backend of metaspec."""

from metaspec import Registration

registration = Registration(
    name="$name",
    adapter="$package.adapter:$adapter",
    requires=$requires,
    arrays=("$arrays",),
    install="pip install $project",
    dtypes=("float32", "float64"),
    capabilities={},
)
''')

ADAPTER = Template('''\
"""$what behind metaspec's Backend protocol.

Write the members in the order in which they stand; after each one, `pytest -x` says what is next or what is wrong.
Everything else (gradients, products with the Hessian, linear solves, batches) is derived from these nine.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from metaspec import Backend
from metaspec.task import Array, Tree


class $adapter(Backend):
    """Arrays are those of $framework."""

    name = "$name"

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        """Within it, `dtype` is computed with all of its digits; after it, every setting is as it was before.

        `contextlib.nullcontext()` where float64 is always there and float32 is never computed in fewer digits. Else the
        framework's own context manager, or one that sets and, in a `finally`, restores.
        """
        raise NotImplementedError("precision is still to be written")

    def versions(self) -> Mapping[str, str]:
        """{"$what": its version}, and whatever else its numbers depend on."""
        raise NotImplementedError("versions is still to be written")

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        """An array with the values of `x`: a number, a NumPy array (read-only ones too), an array of the framework.

        `dtype` is "float32", "float64" ... and must be honoured: where it is unknown or would become another, raise
        `metaspec.errors.DtypeNotHonouredError`. None keeps the dtype of an array. `device` is what the framework calls
        one; None is its default. A traced array that comes in stays differentiable.
        """
        raise NotImplementedError("asarray is still to be written")

    def to_numpy(self, x: Array) -> Any:
        """A NumPy array with the values and the dtype of `x`, detached from any derivative."""
        raise NotImplementedError("to_numpy is still to be written")

    def is_concrete(self, x: Array) -> bool:
        """Whether Python may look at the values of `x`: False for tracers and for arrays inside a compiled function."""
        raise NotImplementedError("is_concrete is still to be written")

    @property
    def xp(self) -> Any:
        """A namespace of functions over these arrays by the names of the Python array API standard.

        The framework's own, one of array_api_compat's, or a module of your own that renames (`concat`, `permute_dims`,
        `astype`, `cumulative_sum`, ...). The check member/xp lists what must be there. A Python number never widens an
        array: float32 times 2.0 is float32.
        """
        raise NotImplementedError("xp is still to be written")

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        """f(*primals), and its pull-back u -> u J: from a cotangent like the value to a tuple of them like the primals.

        The pull-back may be called again, and is itself differentiable, in u and in the primals: products with the
        Hessian are made of it. Zeros, not None, for what f does not use.
        """
        raise NotImplementedError("vjp is still to be written")

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        """(x, *args) -> (f(x, *args), df/dx), the gradient in the structure, shapes and dtypes of x.

        x is a tree: `self.tree_flatten(x)` gives its leaves and its structure, `self.tree_unflatten` puts them together
        again, `self.flat_function` makes f one of leaves. With `has_aux`, f returns (value, aux), and the result is
        ((value, aux), gradient); aux is any tree. A leaf that f does not use gets zeros, not None. It nests: f may call
        value_and_grad itself, to any order, and what it closes over is a constant, though it be the same array as x.
        """
        raise NotImplementedError("value_and_grad is still to be written")

    def stop_gradient(self, tree: Tree) -> Tree:
        """Return the values, with derivatives zero at every order; `metaspec.trees.tree_map(self, f, tree)` helps."""
        raise NotImplementedError("stop_gradient is still to be written")
''')

TEST = Template('''\
"""The conformance suite of metaspec, a test for each check and format."""

from metaspec_conformance.pytest_plugin import BackendConformance


class Test$test(BackendConformance):
    """The backend $name; `expected_failures = {"check id": "reason"}` is for what is known and justified."""

    backend = "$name"
''')

README = Template("""\
# $project

$what as a backend of [metaspec](https://pypi.org/project/metaspec/).

```console
$$ pip install -e '.[test]'
$$ pytest -x            # which member of src/$package/adapter.py to write next, or what is wrong with one
$$ pytest               # the whole suite
$$ metaspec verify $name --json report.json
```

Members that the framework does better than metaspec's derived form (`vmap`, `compile`, ...) are overridden in the
adapter and declared in `src/$package/__init__.py`: `capabilities={"vmap": NATIVE}`, `NATIVE` from
`metaspec.backend.capabilities`. One that cannot be had is declared `Capability("unsupported", reason)`, and raises
`self.unsupported("scan")`.
""")

TEMPLATES = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "src/$package/__init__.py": REGISTRATION,
    "src/$package/adapter.py": ADAPTER,
    "src/$package/py.typed": Template(""),
    "tests/test_conformance.py": TEST,
}
