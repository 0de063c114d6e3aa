"""Every public name has an example, and every example in a docstring runs and prints what it says."""

import ast
import doctest
import inspect
import re
from importlib.util import find_spec

import pytest

import metaspec as ms

from .source_tree import ROOT, files, parsed

PARSER = doctest.DocTestParser()
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples():
    """All doctests of the packages, found without importing anything: what an adapter's file needs may be missing."""
    for path in files("metaspec", "backends", "conformance", "benchmarks"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text and ">>>" in text:
                    name = f"{path.relative_to(ROOT)}::{getattr(node, 'name', 'module')}"
                    yield pytest.param(text, path, id=name)


@pytest.mark.parametrize(("text", "path"), examples())
def test_example_runs(text, path, tmp_path, monkeypatch):
    """Each in a namespace of its own: an example imports what it uses."""
    test = PARSER.get_doctest(text, {"__name__": "__main__"}, path.name, str(path), 0)
    code = "".join(example.source for example in test.examples)
    missing = [name for name in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE) if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    if "LibraryMissingError" in "".join(said):
        pytest.skip("an optional library is not installed")
    assert said == [], "".join(said)


def public():
    """The public classes and functions, by name."""
    for module in (ms, ms.data, ms.nn, ms.training):
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isclass(member) or inspect.isfunction(member):
                yield pytest.param(member, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("member", public())
def test_public_name_has_an_example(member):
    text = inspect.getdoc(member) or ""
    assert ">>>" in text, f"{member.__module__}.{member.__qualname__} has no example in its docstring"
