"""Every block of code of every page runs, or is marked as one that does not, with the reason, and parses."""

import pytest
import typer.main

from metaspec.cli.app import build

from .code_blocks import PAGES, blocks, check_command, inline_commands, run_page
from .source_tree import ROOT

OWN = {
    "docs/pytorch.md": "tests/torch/test_pytorch_document.py",
    "docs/training.md": "tests/training/test_training_document.py",
}
"""Pages that tests elsewhere run, and hold to more."""


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page) and page not in OWN])
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, lacking = run_page(page, tmp_path)
    if lacking:
        pytest.skip(f"what is installed ran; not installed: {', '.join(lacking)}")


@pytest.mark.parametrize("page", OWN)
def test_a_page_s_own_test_runs_it(page):
    assert f'run_page("{page}"' in (ROOT / OWN[page]).read_text()


@pytest.mark.parametrize("page", [page for page in PAGES if inline_commands(page)])
def test_commands_in_sentences_parse(page):
    for command in inline_commands(page):
        check_command(command, whole=False)


def test_examples_of_the_help_parse():
    for name, command in typer.main.get_command(build()).commands.items():
        for example in (command.epilog or "").partition(":")[2].split("  |  "):
            if example.strip():
                assert example.split()[1] == name
                check_command(example)
