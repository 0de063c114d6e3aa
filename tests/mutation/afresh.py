"""A mutant under test in a process that imports everything anew: for what happens on import."""

import importlib.machinery
import os
from pathlib import Path
from types import CodeType
from typing import Any

from .plugin import OPTIONS, FirstFailure, Selection, confine, make_repeatable

PRELOADED = ["numpy", "optree", "hypothesis", "mpmath", "array_api_compat", "array_api_strict", "pytest"]


def plant(file: str, source: str) -> None:
    """From now on an import of `file` gets `source`."""
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: importlib.machinery.SourceFileLoader, name: str) -> CodeType | None:
        if self.path == file:
            return compile(source, file, "exec", dont_inherit=True)
        return original(self, name)

    patched: Any = get_code
    importlib.machinery.SourceFileLoader.get_code = patched  # type: ignore[method-assign]


def run(file: str, source: str, tests: list[str], verdict: Path, seconds: dict[str, float]) -> None:
    """Exits with 0 if all `tests` pass."""
    import pytest

    confine()
    make_repeatable()
    plant(file, source)
    failing = FirstFailure(verdict, seconds)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    os._exit(int(pytest.main([*OPTIONS, *files], plugins=[failing, Selection(tests)])))
