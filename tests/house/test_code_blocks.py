"""The Python blocks of README and of the site's own pages run as they stand, each page from top to bottom."""

import re
from importlib.util import find_spec

import pytest

from .source_tree import ROOT

PAGES = ["README.md", "docs/index.md", "docs/gallery.md", "docs/golden-vectors.md", "docs/howto/recipes.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    for need in re.findall(r"^import (torch|jax)$", "".join(blocks), re.MULTILINE):
        if find_spec(need) is None:
            pytest.skip(f"not installed: {need}")
    names = {"__name__": page}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
