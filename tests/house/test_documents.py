"""The files that the pages for contributors name are there."""

import re

import pytest

from .source_tree import ROOT

ROOTS = (ROOT, ROOT / "metaspec", ROOT / "conformance" / "metaspec_conformance")


@pytest.mark.parametrize(
    "page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "docs/adapters.md", "docs/training.md"]
)
def test_files_that_a_page_names_exist(page):
    """Names in capitals (NAME.py) are placeholders."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = [
        *re.findall(r"`((?:[a-z_.]+/)+[a-z_.]+\.(?:py|md|toml|txt))`", text),
        *re.findall(r"\]\(([\w./-]+)\)", text),
    ]
    missing = [
        name
        for name in named
        if not any((root / name).exists() for root in (*ROOTS, (ROOT / page).parent))
        and not name.startswith(("src/", "tests/test_c"))
    ]
    assert named
    assert missing == []
