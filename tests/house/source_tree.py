"""The source files of the repository, and what each of them imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {"metaspec": ".", "backends": "backends", "conformance": "conformance", "benchmarks": "benchmarks"}
"""Each layer's folder, and the folder from which its files' import names count."""


def files(*folders: str) -> list[Path]:
    """All Python files beneath these folders of the repository."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if not {".venv", "build", "__pycache__"} & set(path.relative_to(ROOT).parts))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path, layer: str) -> str:
    """The import name of a file: its path below the layer's root."""
    parts = path.relative_to(ROOT / LAYERS[layer]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """The names of the modules that a file imports, functions' own imports included; not those for type checkers."""
    for node in _executed(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)
