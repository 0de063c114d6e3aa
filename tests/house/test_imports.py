"""What may import what: layers of the repository, rooms of the kernel, frameworks, private names of frameworks."""

import ast
import re

import pytest

from .source_tree import LAYERS, ROOT, files, imported, module_name, parsed

FRAMEWORKS = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "tensorflow": "tensorflow"}
"""Modules of frameworks, each with the name of the backend whose adapter alone may import it."""
FRAMEWORKS |= {"flax": "jax", "equinox": "jax", "optax": "jax", "functorch": "torch", "keras": "keras"}
SHARED = "metaspec_keras"  # Keras runs on three frameworks: their adapters share what they know of its models
ADAPTERS = sorted(path.name.removeprefix("metaspec_") for path in (ROOT / "backends").glob("metaspec_*"))


def layer_of(module: str) -> str | None:
    """The layer to which a module belongs; None for other people's."""
    package = module.partition(".")[0]
    if package == "metaspec":
        return "metaspec"
    return next((layer for layer in LAYERS if layer != "metaspec" and (ROOT / layer / package).is_dir()), None)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_import_downward_alone(layer):
    """Imports of a layer above are by name: `importlib.import_module` of a string."""
    above = list(LAYERS)[list(LAYERS).index(layer) + 1 :]
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(layer)
        for module in imported(path)
        if layer_of(module) in above
    ]
    assert wrong == []


def test_conformance_gets_adapters_from_the_registry():
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("conformance", "benchmarks")
        for module in imported(path)
        if layer_of(module) == "backends"
    ]
    assert wrong == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_do_not_import_one_another(adapter):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(f"backends/metaspec_{adapter}")
        for module in imported(path)
        if layer_of(module) == "backends" and module.partition(".")[0] not in {f"metaspec_{adapter}", SHARED}
    ]
    assert wrong == []


def rooms():
    """The rooms of the kernel from the lowest to the highest, as ARCHITECTURE.md lists them: room -> its level."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- rooms of metaspec, lowest first -->\n```\n(.*?)```", text, re.DOTALL)
    assert block, "ARCHITECTURE.md has no list of the rooms of metaspec"
    lines = [line.partition(":")[0] for line in block[1].splitlines()]
    return {room: level for level, line in enumerate(lines) for room in re.findall(r"\w+", line)}


def test_architecture_names_every_room_once():
    there = {
        path.stem for path in (ROOT / "metaspec").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(rooms()) == there - {"__init__", "__main__"}


def test_rooms_import_downward_alone():
    """A room imports from lower levels and from itself; so there is no circle of rooms."""
    level = rooms()
    wrong = []
    for path in files("metaspec"):
        room = path.relative_to(ROOT / "metaspec").parts[0].removesuffix(".py")
        for module in imported(path):
            parts = module.split(".")
            if parts[0] != "metaspec" or parts[1:] == [] or room in {"__init__", "__main__"} or parts[1] not in level:
                continue
            if parts[1] != room and level[parts[1]] >= level[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_modules_import_one_another_in_no_circle():
    """Within a room too, at import time: what a function imports when it is called is another matter."""
    graph = {}
    for layer in LAYERS:
        known = {module_name(path, layer): path for path in files(layer)}
        for module, path in known.items():
            graph[module] = [
                target for target in map(_existing(known), _at_import(path)) if target not in (None, module)
            ]
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, " -> ".join([*open_[open_.index(module) :], module])
        if module in done:
            return
        open_.append(module)
        for target in graph[module]:
            visit(target)
        done.add(open_.pop())

    for module in graph:
        visit(module)


def _existing(known):
    def module_of(name):
        if name in known and known[name].name != "__init__.py":
            return name
        parent = name.rpartition(".")[0]
        return parent if parent in known and known[parent].name != "__init__.py" else None

    return module_of


def _at_import(path):
    tree = parsed(path)
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_frameworks_are_imported_by_their_own_adapter_alone():
    """Benchmarks time the frameworks themselves, so their baselines may import them."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("metaspec", "backends", "conformance", "benchmarks")
        for module in imported(path)
        if (backend := FRAMEWORKS.get(module.partition(".")[0]))
        and f"metaspec_{backend}" not in path.parts
        and not (backend == "keras" and "metaspec_tensorflow" in path.parts)
        and "metaspec_benchmarks" not in path.parts
    ]
    assert wrong == []


def test_private_names_of_frameworks_stand_in_one_file_of_each_adapter():
    """`torch._C` and `jax._src` change without notice; one file, with a test for each name, says so at once."""
    wrong = []
    for path in files("backends"):
        if path.name == "_private.py":
            continue
        names = {"torch", "jax", "jaxlib", "tensorflow", "tf", "keras"}
        for module in imported(path):
            if module.partition(".")[0] in FRAMEWORKS and _has_private_part(module.split(".")[1:]):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and _is_private(node.attr):
                chain = ast.unparse(node)
                if re.fullmatch(r"[\w.]+", chain) and chain.partition(".")[0] in names:
                    wrong.append(f"{path.relative_to(ROOT)}, line {node.lineno}: {chain}")
    assert wrong == []


def _has_private_part(parts):
    return any(map(_is_private, parts))


def _is_private(name):
    return name.startswith("_") and not name.startswith("__")
