"""A search for a file or a class finds one: names are not used twice."""

import ast
import re
from collections import Counter, defaultdict

from tests.slow_tests import FILE

from .source_tree import ROOT, files, parsed

GIVEN = {"__init__.py", "__main__.py", "conftest.py", "errors.py", "base.py", "_private.py"}
"""Names with one meaning in every folder: prescribed by Python or pytest; a package's errors; what each thing of a room
is; a framework's private names."""

BOTH_PUBLIC = {"Adam"}  # the inner rule `ms.Adam`, and the outer optimiser `ms.training.Adam`


def adapter_of(path):
    """The adapter whose file it is, or None. Adapters have files and classes of one name on purpose."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "backends" or parts[:2] == ("examples", "autograd_adapter"):
        return next(part for part in parts if part.startswith("metaspec_") or part == "tests")
    return None


def used_twice(names):
    """Names of (name, file) pairs that stand in two places outside of adapters, in two of one adapter, or in both."""
    places = defaultdict(list)
    for name, path in names:
        places[name].append(path)
    wrong = {}
    for name, paths in places.items():
        owners = Counter(map(adapter_of, paths))
        if max(owners.values()) > 1 or (None in owners and len(owners) > 1):
            wrong[name] = [str(path.relative_to(ROOT)) for path in paths]
    return wrong


def test_no_file_name_stands_in_two_places():
    """File names are unique in the packages and test modules; helpers of a folder of tests are its own matter."""
    paths = files("metaspec", "backends", "conformance", "benchmarks", "examples")
    paths += [path for path in files("tests") if path.name.startswith("test_")]
    assert used_twice((path.name, path) for path in paths if path.name not in GIVEN) == {}


def test_no_class_name_stands_in_two_places():
    """Class names are unique among the packages' public classes; a test's own classes are its own matter."""
    classes = [
        (node.name, path)
        for path in files("metaspec", "backends", "conformance", "benchmarks")
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in BOTH_PUBLIC
    ]
    assert used_twice(classes) == {}


def test_slow_tests_are_tests():
    """A test that was renamed is measured anew: see tests/slow_tests.py."""
    gone = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        file, _, name = line.partition("::")
        function = re.split(r"\[|::", name)[-1 if "[" not in name else 0]
        if not (ROOT / file).is_file() or f"def {function}(" not in (ROOT / file).read_text(encoding="utf-8"):
            gone.append(line)
    assert gone == []
